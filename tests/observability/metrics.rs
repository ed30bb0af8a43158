//! Names of metrics: those that the documentation tells of, and those that a text of Prometheus uses.

use std::collections::BTreeSet;

/// A metric as its page has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Documented {
    pub(crate) name: String,
    pub(crate) type_: String,
    pub(crate) labels: BTreeSet<String>,
}

/// The rows of `docs/metrics.md`.
pub(crate) fn documented() -> BTreeSet<Documented> {
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `snaphook_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty());
        Documented {
            name: cells[1].trim_matches('`').to_owned(),
            type_: cells[2].to_owned(),
            labels: labels.map(|label| label.trim_matches('`').to_owned()).collect(),
        }
    })
    .collect()
}

/// Every name of ours in an expression, less the suffixes of a histogram's parts.
pub(crate) fn used(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("snaphook_"));
    ours.map(|word| {
        ["_bucket", "_sum", "_count"].iter().fold(word, |word, part| word.trim_end_matches(part)).to_owned()
    })
    .collect()
}
