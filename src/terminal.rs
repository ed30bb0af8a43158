//! Flow 3, where it ends on a screen: text that came from outside cannot steer the terminal that shows it.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::oneshot, time::timeout};

/// Bytes of text that wait for somebody who reads it.
const MOST_WAITING: usize = 1 << 20;

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

/// Prints from a thread of its own, so that nobody else waits for whoever reads the standard output: a terminal that is stopped by Ctrl-S,
/// a pipe that is full. What finds no room is not shown, and that is said.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    texts: mpsc::Sender<Text>,
    waiting_bytes: Arc<AtomicUsize>,
    dropped_texts: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Text {
    Print(String),
    /// Answered when all before it is printed.
    Flush(oneshot::Sender<()>),
}

impl Printer {
    /// Begins to print.
    ///
    /// # Errors
    /// There is no thread to print on.
    pub(crate) fn start() -> io::Result<Self> {
        Self::printing(|text| {
            // That nobody can be told is no reason to end.
            let _ = print(text);
        })
    }

    fn printing(print: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let (texts, received) = mpsc::channel();
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let waiting = waiting_bytes.clone();
        thread::Builder::new().name("printer".into()).spawn(move || {
            for text in received {
                match text {
                    Text::Print(text) => {
                        print(&text);
                        waiting.fetch_sub(text.len(), AcqRel);
                    }
                    // Whoever asked may have given up.
                    Text::Flush(done) => drop(done.send(())),
                }
            }
        })?;
        Ok(Self { texts, waiting_bytes, dropped_texts: Arc::default() })
    }

    /// Prints after all that came before.
    pub(crate) fn print(&self, text: String) {
        let waiting = self.waiting_bytes.load(Acquire);
        // A text of any length is shown where none waits.
        if waiting > 0 && waiting.saturating_add(text.len()) > MOST_WAITING {
            self.dropped_texts.fetch_add(1, Relaxed);
            return;
        }
        let text = match self.dropped_texts.swap(0, Relaxed) {
            0 => text,
            dropped => format!("… {dropped} messages are not shown: the output was not read\n{text}"),
        };
        self.waiting_bytes.fetch_add(text.len(), AcqRel);
        // An error would mean that the thread has ended, which it does not before this is dropped.
        let _ = self.texts.send(Text::Print(text));
    }

    /// Waits until all is printed, but no longer than this.
    pub(crate) async fn flush(&self, longest: Duration) {
        let (done, printed) = oneshot::channel();
        if self.texts.send(Text::Flush(done)).is_ok() {
            let _ = timeout(longest, printed).await;
        }
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

    #[tokio::test]
    async fn who_does_not_read_keeps_nobody_waiting_and_is_told_what_is_missing() {
        let (reads, wait) = mpsc::channel::<()>();
        let (seen, all_texts) = mpsc::channel();
        let printer = Printer::printing(move |text| {
            wait.recv().unwrap();
            seen.send(text.to_owned()).unwrap();
        });
        let printer = printer.unwrap();
        let long = "x".repeat(MOST_WAITING);
        printer.print(long.clone());
        (0..3).for_each(|_| printer.print("not shown".into()));
        reads.send(()).unwrap();
        printer.flush(Duration::from_mins(1)).await;
        printer.print("shown".into());
        reads.send(()).unwrap();
        printer.flush(Duration::from_mins(1)).await;
        let all: Vec<String> = all_texts.try_iter().collect();
        assert_eq!(all, [&*long, "… 3 messages are not shown: the output was not read\nshown"]);
        printer.print("nobody reads".into());
        printer.flush(Duration::from_millis(1)).await;
        drop(reads);
    }

    #[test]
    fn json_stays_what_it_is_and_cannot_steer() {
        let text = json(&[HOSTILE]).unwrap();
        assert!(text.chars().all(|char| char == '\n' || !steers(char)), "{text:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&text).unwrap(), [HOSTILE]);
    }
}
