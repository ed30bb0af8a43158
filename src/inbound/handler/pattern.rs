//! Flow 3, pure: patterns of `matches`, made into automata when the handler compiles.
//!
//! The library of CEL would compile a pattern at each call, and with an engine whose time a byte grows with the pattern.
//! An automaton takes one step a byte whatever it looks for, so that the time of a match is known beforehand.

use std::collections::BTreeMap;

use regex_automata::{
    Anchored, Input,
    dfa::{
        Automaton, StartKind,
        dense::{Builder, Config, DFA},
    },
    nfa::thompson,
    util::syntax,
};

use super::error::Problem;

/// Longer patterns are refused.
pub(super) const MAX_PATTERN_BYTES: usize = 256;
/// Different ones in all expressions of a handler.
pub(super) const MAX_PATTERNS: usize = 8;
/// Of all automata of a handler, and of the work to make one, which takes some 10 ms at most.
const MAX_AUTOMATA_BYTES: usize = 1 << 20;

/// One pattern.
///
/// # Caveats
/// CEL points to RE2. This is the syntax of the Rust crate `regex`, where `\d`, `\w` and `\s` know Unicode, and of which
/// Unicode word boundaries are refused.
pub(super) struct Pattern(DFA<Vec<u32>>);

impl Pattern {
    /// With an automaton of at most so many bytes.
    fn new(pattern: &str, room: usize) -> Result<Self, Problem> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(Problem::PatternTooLong);
        }
        let config = Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(room))
            .determinize_size_limit(Some(MAX_AUTOMATA_BYTES));
        Builder::new()
            .configure(config)
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_AUTOMATA_BYTES)))
            .syntax(syntax::Config::new().nest_limit(50))
            .build(pattern)
            .map(Self)
            .map_err(|_| problem(pattern))
    }

    fn bytes(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether it is found anywhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        // An automaton gives up only at bytes for which it was told to; this one was not.
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

/// Of the errors of the library, those of the parser alone say what a user can do.
fn problem(pattern: &str) -> Problem {
    match syntax::parse(pattern) {
        Err(error) => Problem::BadPattern(last_line(&error.to_string())),
        Ok(parsed) if parsed.properties().look_set().contains_word_unicode() => Problem::WordBoundary,
        Ok(_) => Problem::PatternTooComplex,
    }
}

/// The library draws the pattern with a marker below it; a condition has room for the text only.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// All patterns of a handler, each once.
#[derive(Default)]
pub(super) struct Patterns {
    places: BTreeMap<String, usize>,
    all: Vec<Pattern>,
    /// What their automata take.
    bytes: usize,
}

impl Patterns {
    /// Compiles a pattern that is not there yet.
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), Problem> {
        if self.places.contains_key(pattern) {
            return Ok(());
        }
        if self.all.len() == MAX_PATTERNS {
            return Err(Problem::TooManyPatterns);
        }
        let compiled = Pattern::new(pattern, MAX_AUTOMATA_BYTES.saturating_sub(self.bytes))?;
        self.bytes += compiled.bytes();
        self.places.insert(pattern.to_owned(), self.all.len());
        self.all.push(compiled);
        Ok(())
    }

    /// Where a pattern stands among [`Self::into_all`].
    pub(super) fn place(&self, pattern: &str) -> Option<usize> {
        self.places.get(pattern).copied()
    }

    pub(super) fn into_all(self) -> Vec<Pattern> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pattern: &str) -> Result<Pattern, Problem> {
        Pattern::new(pattern, MAX_AUTOMATA_BYTES)
    }

    #[test]
    fn a_pattern_is_found_anywhere_unless_it_is_anchored() {
        for (pattern, text, expected) in [
            ("fir", "it is firing", true),
            ("^fir", "it is firing", false),
            ("^it.*ing$", "it is firing", true),
            ("", "", true),
            ("(?i)STRASSE|straße", "STRAẞE", true),
            ("^.$", "ü", true),
            (r"^\d{4}-\d{2}$", "2026-11", true),
            (r"(?-u:\b)is(?-u:\b)", "this is", true),
            (r"(?-u:\b)his", "this is", false),
            ("a$", "a\n", false),
        ] {
            assert_eq!(one(pattern).ok().unwrap().is_in(text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_would_need_a_large_automaton_is_refused() {
        for pattern in [r"foo.{0,50}bar", r"\w{50}", "((a{90}){90}){90}", "(a|b)*a(a|b){20}"] {
            assert_eq!(one(pattern).err(), Some(Problem::PatternTooComplex), "{pattern}");
        }
        assert_eq!(one(&"a".repeat(257)).err(), Some(Problem::PatternTooLong));
    }

    #[test]
    fn a_refusal_says_what_to_write_instead() {
        assert_eq!(one(r"\bfoo\b").err(), Some(Problem::WordBoundary));
        let Some(Problem::BadPattern(text)) = one("a(b").err() else { panic!("not refused") };
        assert_eq!(text, "unclosed group");
        assert!(matches!(one(&"(".repeat(200)).err(), Some(Problem::BadPattern(_))));
    }

    #[test]
    fn the_patterns_of_a_handler_share_their_room() {
        // Each of them alone would do.
        let large = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|letter| format!("{letter}.{{0,8}}{letter}x"));
        assert!(large.iter().all(|pattern| one(pattern).is_ok()));
        let mut patterns = Patterns::default();
        let refused = large.iter().find_map(|pattern| patterns.add(pattern).err());
        assert_eq!(refused, Some(Problem::PatternTooComplex));
        assert!(patterns.bytes <= MAX_AUTOMATA_BYTES && patterns.bytes > MAX_AUTOMATA_BYTES / 2);
    }

    #[test]
    fn patterns_are_compiled_once_and_not_without_end() {
        let mut patterns = Patterns::default();
        for number in [1, 2, 1, 3, 4, 5, 6, 7, 8, 8] {
            patterns.add(&format!("a{number}")).unwrap();
        }
        assert_eq!(patterns.place("a3"), Some(2));
        assert_eq!(patterns.add("a9"), Err(Problem::TooManyPatterns));
        assert_eq!(patterns.into_all().len(), 8);
    }
}
