//! `kubectl snaphook`: asks before something is changed that cannot be taken back.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    Refused,
    /// Nobody is there who could say anything.
    NobodyToAsk,
}

/// Asks, unless `--yes` has answered already.
pub(super) fn ask(question: &str, yes: bool) -> io::Result<Consent> {
    if yes {
        return Ok(Consent::Given);
    }
    if !io::stdin().is_terminal() {
        eprintln!(
            "{question}\nThere is no terminal to ask on: say --yes, and it is done without a question. Nothing was changed."
        );
        return Ok(Consent::NobodyToAsk);
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let consent = answer(io::stdin().lock())?;
    if consent == Consent::Refused {
        eprintln!("Nothing was changed.");
    }
    Ok(consent)
}

/// Only a clear yes is one.
fn answer(mut input: impl BufRead) -> io::Result<Consent> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Ok(if yes { Consent::Given } else { Consent::Refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for yes in ["y\n", "Y", "yes\n", " YES \r\n"] {
            assert_eq!(answer(yes.as_bytes()).unwrap(), Consent::Given, "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yy\n", "sure\n", "\ny\n"] {
            assert_eq!(answer(no.as_bytes()).unwrap(), Consent::Refused, "{no:?}");
        }
    }
}
