//! How many deliveries a second are made and settled from a full queue, beside a bare hyper client that makes the same calls, and
//! beside a receiver that never answers.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, routing::post};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use crate::{
    client::send_all,
    cores,
    hooks::{Hooks, endpoint, posts},
    measure::{Program, spread},
};

/// In the queue at the begin of each round.
const MESSAGES: u32 = 60_000;
const IN_FLIGHT: usize = 64;

/// Prints a Markdown table.
pub(crate) fn run(rounds: usize, time: Duration) {
    let receiver = Receiver::start();
    let program = Program::this();
    let alone = Hooks::start(&program, "deliveries-alone");
    let beside = Hooks::start(&program, "deliveries-beside");
    // It is never accepted from.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut dead = endpoint("dead", &format!("http://{}/", silent.local_addr().unwrap()));
    (dead.active, dead.delivery.max_in_flight) = (true, 100);
    beside.write(&dead);
    send_all(beside.server.address, &posts("dead", 300), IN_FLIGHT);

    let [mut rates, mut of_bare, mut of_alone] = [(); 3].map(|()| Vec::new());
    for round in 0..=rounds {
        let bare = receiver.called_by_a_bare_client(time);
        let [alone, beside] = [&alone, &beside].map(|hooks| receiver.delivered_by(hooks));
        eprintln!("round {round}: bare hyper {bare:.0}/s, alone {alone:.0}/s, beside a dead receiver {beside:.0}/s");
        // The first round warms up.
        if round > 0 {
            rates.push(alone);
            of_bare.push(alone / bare);
            of_alone.push(beside / alone);
        }
    }
    let [_, rate, _] = spread(&mut rates);
    println!("\n{IN_FLIGHT} in flight, {MESSAGES} messages of 1 KiB, {rounds} interleaved rounds\n");
    println!("| measure | min | median | max | at least | aim |\n|---|---|---|---|---|---|");
    let [min, median, max] = spread(&mut of_bare);
    println!(
        "| deliveries ({rate:.0}/s) / a bare hyper client's calls | {min:.3} | {median:.3} | {max:.3} | 0.3 | 0.6 |"
    );
    let [min, median, max] = spread(&mut of_alone);
    println!("| beside a receiver that never answers / alone | {min:.3} | {median:.3} | {max:.3} | 0.9 | |");
}

/// Counts what is posted to it. It runs on the load's core.
pub(crate) struct Receiver {
    address: SocketAddr,
    count: Arc<AtomicU32>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
        let counted = count.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let answer = async move |_: Bytes| {
                    counted.fetch_add(1, Relaxed);
                    "ok"
                };
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().route("/", post(answer))).await.unwrap();
            });
        });
        Self { address, count }
    }

    fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until so many more have come; when that was.
    fn wait(&self, count: u32) -> Instant {
        let end = Instant::now() + Duration::from_mins(5);
        while self.count() < count {
            assert!(Instant::now() < end, "only {} of {count} came", self.count());
            thread::sleep(Duration::from_millis(1));
        }
        Instant::now()
    }

    fn called_by_a_bare_client(&self, time: Duration) -> f64 {
        let exe = env::current_exe().unwrap();
        let mut client = cores::on_server_core(exe.to_str().unwrap()).args(["--call", &self.url()]).spawn().unwrap();
        self.wait(self.count() + 1_000);
        let (first, started) = (self.count(), Instant::now());
        thread::sleep(time);
        let rate = f64::from(self.count() - first) / started.elapsed().as_secs_f64();
        client.kill().unwrap();
        client.wait().unwrap();
        rate
    }

    /// Fills the queue, lets it go, and looks at the middle of that.
    pub(crate) fn delivered_by(&self, hooks: &Hooks) -> f64 {
        let mut record = endpoint("full", &self.url());
        hooks.write(&record);
        // What was written counts within this time, at the latest.
        thread::sleep(Duration::from_millis(500));
        send_all(hooks.server.address, &posts("full", MESSAGES.into()), IN_FLIGHT);
        let before = self.count();
        record.active = true;
        hooks.write(&record);
        let begin = self.wait(before + MESSAGES / 10);
        let first = self.count();
        let end = self.wait(before + MESSAGES * 9 / 10);
        let rate = f64::from(self.count() - first) / end.duration_since(begin).as_secs_f64();
        self.wait(before + MESSAGES);
        rate
    }
}

/// Makes calls for ever: the reference, in a process of its own.
pub(crate) fn call(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let body = Bytes::from(vec![b'x'; 1024]);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (client, body, url) = (client.clone(), body.clone(), url.to_owned());
            calls.spawn(async move {
                loop {
                    let request = Request::post(&url).header("content-type", "application/json");
                    let request = request.header("webhook-id", "msg_0").body(Full::new(body.clone())).unwrap();
                    let answer = client.request(request).await.unwrap();
                    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
                }
            });
        }
        calls.join_all().await;
    });
}
