//! Runs measures in turn with a reference, round by round, and prints the ratios.

use std::{env, fs, net::SocketAddr, path::PathBuf, sync::Arc, thread, time::Duration};

use control_plane::Supervised;

use crate::{
    client::{Load, Requests},
    cores,
};

/// A build of Snaphook.
#[derive(Clone)]
pub(crate) struct Program {
    path: String,
    /// Keeps its directories and logs apart from those of another build.
    prefix: &'static str,
}

impl Program {
    /// The one that cargo has built for this bench.
    pub(crate) fn this() -> Self {
        Self { path: env!("CARGO_BIN_EXE_snaphook").to_owned(), prefix: "" }
    }

    pub(crate) fn before(path: String) -> Self {
        Self { path, prefix: "before-" }
    }

    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        scratch().join(format!("{}{name}", self.prefix))
    }

    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Arc<Server> {
        Arc::new(Server::start(&format!("{}{name}", self.prefix), &self.path, arguments))
    }
}

/// A server on its core.
pub(crate) struct Server {
    process: Supervised,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a program that prints `listening public=ADDR:PORT`.
    fn start(name: &str, program: &str, arguments: &[&str]) -> Self {
        let mut command = cores::on_server_core(program);
        command.args(arguments);
        let log = scratch().join(format!("{name}.log"));
        // Of an earlier run.
        let _ = fs::remove_file(&log);
        let process = Supervised::spawn(&command, log).unwrap();
        for _ in 0..1_000 {
            let log = process.log();
            let address = log.split_whitespace().find_map(|word| word.strip_prefix("public="));
            if let Some(address) = address {
                return Self { address: address.parse().unwrap(), process };
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} does not start: {}", process.log());
    }

    /// Seconds that it has worked so far.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

fn scratch() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("load");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// One line of the table.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// Of the reference: what must be reached, and what should be.
    pub(crate) bounds: Option<(f64, f64)>,
    pub(crate) server: Arc<Server>,
    /// Called before every round.
    pub(crate) requests: Box<dyn FnMut() -> Requests>,
}

#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    ratios: Vec<f64>,
    /// The same by the servers' processor time, which neighbours on the machine disturb less.
    cpu_ratios: Vec<f64>,
    busy: Vec<f64>,
}

/// Prints a Markdown table of all measures and the reference.
pub(crate) fn against_hello(mut measures: Vec<Measure>, rounds: usize, load: &Load) {
    let exe = env::current_exe().unwrap();
    let hello = Server::start("hello", exe.to_str().unwrap(), &["--hello"]);
    let get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let reference = Measure {
        name: "bare axum `hello`",
        bounds: None,
        server: Arc::new(hello),
        requests: Box::new(move || Requests { all: Arc::new(vec![get.clone()]), again: true, expect: "hello" }),
    };
    measures.insert(0, reference);

    let mut figures: Vec<Figures> = measures.iter().map(|_| Figures::default()).collect();
    for round in 0..=rounds {
        let (mut hello, mut hello_cpu) = (0.0, 0.0);
        for (place, (measure, figures)) in measures.iter_mut().zip(&mut figures).enumerate() {
            let requests = (measure.requests)();
            let before = measure.server.cpu();
            let rate = load.run(measure.server.address, &requests);
            let busy = (measure.server.cpu() - before) / load.time.as_secs_f64();
            if place == 0 {
                (hello, hello_cpu) = (rate, rate / busy);
            }
            eprintln!("round {round}: {}: {rate:.0}/s, {:.3} of hello", measure.name, rate / hello);
            // The first round warms up.
            if round > 0 {
                figures.rates.push(rate);
                figures.ratios.push(rate / hello);
                figures.cpu_ratios.push(rate / busy / hello_cpu);
                figures.busy.push(busy);
            }
        }
    }
    print(&measures, &mut figures, rounds, load);
}

fn print(measures: &[Measure], figures: &mut [Figures], rounds: usize, load: &Load) {
    println!("{} connections, {rounds} interleaved rounds of {} s\n", load.connections, load.time.as_secs());
    println!(
        "| measure | answers/s (median) | of hello: min | median | max | at least | aim | by processor time: median | core busy |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (measure, Figures { rates, ratios, cpu_ratios, busy }) in measures.iter().zip(figures) {
        let bounds =
            measure.bounds.map_or((String::new(), String::new()), |(least, aim)| (least.to_string(), aim.to_string()));
        let [_, rate, _] = spread(rates);
        let [min, median, max] = spread(ratios);
        let [_, cpu, _] = spread(cpu_ratios);
        let [_, busy, _] = spread(busy);
        let (name, (least, aim)) = (measure.name, bounds);
        let busy = busy * 100.0;
        println!(
            "| {name} | {rate:.0} | {min:.3} | {median:.3} | {max:.3} | {least} | {aim} | {cpu:.3} | {busy:.0} % |"
        );
    }
}

pub(crate) fn spread(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}
