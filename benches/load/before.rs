//! This build in turn with another one, so that neither the machine's hour nor its neighbours favour one of them.

use crate::{
    client::Load,
    deliveries::Receiver,
    hooks::Hooks,
    measure::{Measure, Program, spread},
};

/// Prints a Markdown table of the ratios.
pub(crate) fn run(
    programs: &[Program; 2],
    measures_of: impl Fn(&Program) -> Vec<Measure>,
    deliveries: bool,
    rounds: usize,
    load: &Load,
) {
    let receiver = Receiver::start();
    let mut pairs: Vec<Pair> = vec![];
    let [before, now] = programs.each_ref().map(measures_of);
    for (before, now) in before.into_iter().zip(now) {
        let name = now.name;
        let rates = [before, now].map(|mut measure| {
            Box::new(move || load.run(measure.server.address, &(measure.requests)())) as Box<dyn FnMut() -> f64>
        });
        pairs.push(Pair { name, rates, results: vec![] });
    }
    if deliveries {
        let rates = programs.each_ref().map(|program| {
            let hooks = Hooks::start(program, "deliveries");
            let receiver = &receiver;
            Box::new(move || receiver.delivered_by(&hooks)) as Box<dyn FnMut() -> f64>
        });
        pairs.push(Pair { name: "deliveries", rates, results: vec![] });
    }
    for round in 0..=rounds {
        for pair in &mut pairs {
            let result = pair.measure(round);
            eprintln!("round {round}: {}: before {:.0}/s, now {:.0}/s", pair.name, result[0], result[1]);
            // The first round warms up.
            if round > 0 {
                pair.results.push(result);
            }
        }
    }
    println!("{} connections, {rounds} interleaved rounds\n", load.connections);
    println!(
        "| measure | before/s (median) | now/s (median) | now / before: min | median | max |\n|---|---|---|---|---|---|"
    );
    for pair in &pairs {
        let median = |build: usize| spread(&mut pair.results.iter().map(|it| it[build]).collect::<Vec<_>>())[1];
        let [min, middle, max] = spread(&mut pair.results.iter().map(|[before, now]| now / before).collect::<Vec<_>>());
        let (name, before, now) = (pair.name, median(0), median(1));
        println!("| {name} | {before:.0} | {now:.0} | {min:.3} | {middle:.3} | {max:.3} |");
    }
}

/// One measure of both builds: the other one, and this one.
struct Pair<'a> {
    name: &'static str,
    rates: [Box<dyn FnMut() -> f64 + 'a>; 2],
    results: Vec<[f64; 2]>,
}

impl Pair<'_> {
    /// Each build is the first one in every other round.
    fn measure(&mut self, round: usize) -> [f64; 2] {
        let [before, now] = &mut self.rates;
        if round.is_multiple_of(2) {
            let before = before();
            [before, now()]
        } else {
            let now = now();
            [before(), now]
        }
    }
}
