//! The table that a run prints.

use std::fmt;

#[derive(Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    pub(crate) fn row(&mut self, measure: &str, at_least: &str, aim: &str, measured: String) {
        eprintln!("{measure}: {measured}");
        self.0.push([measure.to_owned(), at_least.to_owned(), aim.to_owned(), measured]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| measure | at least | aim | measured |\n|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(formatter, "| {} |", row.join(" | ")))
    }
}

/// The value at a share of a sorted list.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted[index]
}
