//! `kubectl snaphook`: how answers are shown.

use std::process::ExitCode;

use serde::Serialize;

use super::verdict;
use crate::terminal;

/// How the answer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: see docs/kubectl.md
    Json,
}

impl Output {
    /// Shows an answer. What came from the cluster cannot steer the terminal.
    pub(super) fn show(self, answer: &impl Serialize, text: &str, yes: bool) -> anyhow::Result<ExitCode> {
        match self {
            Self::Text => terminal::print(&terminal::lines(text.as_bytes()))?,
            Self::Json => terminal::print(&terminal::json(answer)?)?,
        }
        Ok(verdict(yes))
    }
}
