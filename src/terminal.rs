//! Flow 3, where it ends on a screen: text that came from outside cannot steer the terminal that shows it.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write as _},
};

use serde::Serialize;

/// Several lines, of any bytes.
pub(crate) fn lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|char| if matches!(char, '\n' | '\t') { char } else { shown(char) }).collect()
}

/// One line.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// JSON over several lines. It stays the same JSON: what could steer is escaped.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let mut escaped = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        if char == '\n' || !steers(char) {
            escaped.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}"); // a String takes everything
        }
    }
    escaped.push('\n');
    Ok(escaped)
}

/// Writes to the standard output. That nobody reads on is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn shown(char: char) -> char {
    if steers(char) { '\u{fffd}' } else { char }
}

/// Controls, C1 among them, and what turns the direction of text around or is not seen at all.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}b\u{e0041}\r\n\tc";

    #[test]
    fn what_steers_is_replaced() {
        let r = '\u{fffd}';
        assert_eq!(line(HOSTILE), format!("a{r}[2J{r}2J{r}{r}b{r}{r}{r}{r}c"));
        assert_eq!(lines(HOSTILE.as_bytes()), format!("a{r}[2J{r}2J{r}{r}b{r}{r}\n\tc"));
        assert_eq!(lines(b"\xff"), "\u{fffd}");
        assert_eq!(line("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn json_stays_what_it_is_and_cannot_steer() {
        let text = json(&[HOSTILE]).unwrap();
        assert!(text.chars().all(|char| char == '\n' || !steers(char)), "{text:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&text).unwrap(), [HOSTILE]);
    }
}
