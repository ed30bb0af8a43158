//! Flow 3, pure: messages as a person reads them.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{
    http::admin_view::{Attempt, Body, Content, Message, State},
    terminal,
};

/// A terminal that is not very wide.
const WIDTH: usize = 120;
const GAP: usize = 2;
/// What is always left for the name of a Webhook.
const NAME: usize = 16;

/// One line a message, none over 120 columns.
pub(super) fn table(messages: &[Message], now: Timestamp) -> String {
    let header = ["ID", "STATE", "AGE", "TRIES", "WEBHOOK", "LAST"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(messages.iter().map(|one| row(one, now))).collect();
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut widths: [usize; 6] = std::array::from_fn(longest);
    let fixed: usize = widths[..4].iter().map(|width| width + GAP).sum();
    let room = WIDTH.saturating_sub(fixed + GAP);
    widths[4] = widths[4].min(room.saturating_sub(widths[5]).max(NAME));
    widths[5] = widths[5].min(room.saturating_sub(widths[4]));
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cut(cell, width)));
        let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        let _ = writeln!(text, "{}", line.trim_end()); // a String takes everything
    }
    text
}

fn row(message: &Message, now: Timestamp) -> [String; 6] {
    let cells = [
        message.id.clone(),
        state(message, now),
        span(message.accepted_at, now),
        message.attempts.to_string(),
        format!("{}/{}", message.namespace, message.webhook),
        last(message),
    ];
    cells.map(|cell| terminal::line(&cell))
}

fn state(message: &Message, now: Timestamp) -> String {
    match (message.state, message.at) {
        (State::Due, Some(at)) if at > now => format!("due in {}", span(now, at)),
        (state, _) => state.as_str().to_owned(),
    }
}

fn last(message: &Message) -> String {
    let status = message.last_attempt.as_ref().and_then(|attempt| attempt.status);
    match (&message.reason, &message.last_attempt, status) {
        (Some(reason), _, Some(status)) => format!("{reason} ({status})"),
        (Some(reason), _, None) => reason.clone(),
        (None, Some(attempt), Some(status)) => format!("{} ({status})", attempt.outcome),
        (None, Some(attempt), None) => attempt.outcome.clone(),
        (None, None, _) => String::new(),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// One message with its log, and what it sends on where that is there.
pub(super) fn alone(message: &Message, now: Timestamp) -> String {
    let mut text = String::new();
    for (name, value) in fields(message, now) {
        let _ = writeln!(text, "{name:<9} {}", terminal::line(&value)); // a String takes everything
    }
    let log = message.log.as_deref().unwrap_or_default();
    if !log.is_empty() {
        text.push_str("\nLatest attempts\n");
    }
    for Attempt { at, outcome, status } in log {
        let status = status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        let _ = writeln!(text, "  {at}  {status}  {}", terminal::line(outcome));
    }
    if let Some(content) = &message.content {
        add_content(&mut text, content);
    }
    text
}

fn fields(message: &Message, now: Timestamp) -> Vec<(&'static str, String)> {
    let ago = |at: Timestamp| format!("{at} ({} ago)", span(at, now));
    let state = match (message.state, message.at, &message.reason) {
        (State::DeadLetter, Some(at), Some(reason)) => format!("dead-letter since {}: {reason}", ago(at)),
        (State::Delivered, Some(at), _) => format!("delivered {}", ago(at)),
        _ => self::state(message, now),
    };
    let mut fields = vec![
        ("ID", message.id.clone()),
        ("Webhook", format!("{}/{} (uid {})", message.namespace, message.webhook, message.uid)),
        ("State", state),
        ("Accepted", ago(message.accepted_at)),
    ];
    fields.extend(message.replayed_at.map(|at| ("Replayed", ago(at))));
    fields.extend(message.sender_id.clone().map(|id| ("Sender ID", id)));
    fields.push(("Body", format!("{} bytes", message.body_bytes)));
    fields.push(("Attempts", message.attempts.to_string()));
    fields
}

fn add_content(text: &mut String, Content { headers, body }: &Content) {
    text.push_str("\nHeaders\n");
    for (name, value) in headers {
        let _ = writeln!(text, "  {}: {}", terminal::line(name), terminal::line(value)); // a String takes everything
    }
    let (title, body) = match body {
        Body::Text(body) => ("Body", body),
        Body::Base64(body) => ("Body, in Base64", body),
    };
    let _ = write!(text, "\n{title}\n{}\n", terminal::lines(body.as_bytes()).trim_end_matches('\n'));
}

/// From one time to another, in the largest unit that fits.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn message(state: State) -> Message {
        let attempt = Attempt { at: now(), outcome: "Rejected".to_owned(), status: Some(422) };
        Message {
            id: format!("msg_{}", "0a".repeat(22)),
            namespace: "demo".to_owned(),
            webhook: "alerts".to_owned(),
            uid: "u1".to_owned(),
            state,
            at: Some("2026-11-23T11:59:00Z".parse().unwrap()),
            reason: (state == State::DeadLetter).then(|| "Rejected".to_owned()),
            accepted_at: "2026-11-23T11:50:00Z".parse().unwrap(),
            replayed_at: None,
            body_bytes: 7,
            attempts: 3,
            last_attempt: Some(attempt.clone()),
            sender_id: None,
            log: Some(vec![attempt]),
            content: None,
        }
    }

    #[test]
    fn a_line_tells_the_state_and_why() {
        let due = Message { at: Some("2026-11-23T12:00:40Z".parse().unwrap()), ..message(State::Due) };
        let table = table(&[message(State::DeadLetter), due], now());
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["ID", "STATE", "AGE", "TRIES", "WEBHOOK", "LAST"]);
        assert_eq!(lines[1][1..], ["dead-letter", "10m", "3", "demo/alerts", "Rejected", "(422)"]);
        assert_eq!(lines[2][1..], ["due", "in", "40s", "10m", "3", "demo/alerts", "Rejected", "(422)"]);
    }

    #[test]
    fn no_line_is_over_120_columns_and_ids_are_whole() {
        let mut long = message(State::DeadLetter);
        (long.namespace, long.webhook) = ("n".repeat(63), "w".repeat(253));
        long.reason = Some("reason ".repeat(22));
        let table = table(&[long, message(State::Held)], now());
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(table.lines().nth(1).unwrap().contains(&message(State::Held).id));
        assert!(table.contains("nnn") && table.contains("reason"), "{table}");
    }

    #[test]
    fn what_came_from_outside_cannot_steer_a_terminal() {
        let mut hostile = message(State::DeadLetter);
        hostile.reason = Some("a\x1b[2J\nb".to_owned());
        hostile.sender_id = Some("\u{9b}2J".to_owned());
        let headers = vec![("x-\u{202e}".to_owned(), "\x1b]0;title\x07".to_owned())];
        hostile.content = Some(Content { headers, body: Body::Text("one\n\x1b[2Jtwo".to_owned()) });
        let text = table(&[hostile.clone()], now()) + &alone(&hostile, now());
        assert!(!text.contains(['\x1b', '\x07', '\u{9b}', '\u{202e}']), "{text:?}");
        assert!(text.contains("one\n\u{fffd}[2Jtwo"), "{text}");
        assert_eq!(table(&[hostile], now()).lines().count(), 2);
    }

    #[test]
    fn one_message_is_told_with_its_log() {
        let text = alone(&message(State::DeadLetter), now());
        assert!(text.contains("dead-letter since 2026-11-23T11:59:00Z (60s ago): Rejected\n"), "{text}");
        assert!(text.contains("  2026-11-23T12:00:00Z  422  Rejected\n"), "{text}");
        assert!(!text.contains("Headers"), "{text}");
    }
}
