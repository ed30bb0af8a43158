//! Start-up of `snaphook endpoints`: how much is queued and kept of each Webhook.

use std::{fmt::Write as _, process::ExitCode};

use jiff::Timestamp;

use super::{EXIT_CODES, Output, Server, client::Client, print, table::span, wait};
use crate::{
    http::admin_view::{self, Figures},
    terminal,
};

/// Arguments of `snaphook endpoints`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Endpoints {
    /// The Webhooks in this namespace [default: of all]
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// Lists the Webhooks of which there are messages.
///
/// # Errors
/// The server cannot be asked.
pub fn endpoints(args: &Endpoints) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server.socket);
    let mut all: admin_view::Endpoints = wait(client.get("/endpoints"))??;
    let is_wanted = |one: &Figures| args.namespace.as_ref().is_none_or(|namespace| one.namespace == *namespace);
    all.endpoints.retain(is_wanted);
    all.endpoints.sort_by(|one, other| (&one.namespace, &one.webhook).cmp(&(&other.namespace, &other.webhook)));
    print(&match args.output {
        Output::Table if all.endpoints.is_empty() => "No messages.\n".to_owned(),
        Output::Table => table(&all.endpoints, Timestamp::now()),
        Output::Json => terminal::json(&all)?,
    })
}

fn table(endpoints: &[Figures], now: Timestamp) -> String {
    let header = ["WEBHOOK", "QUEUED", "BYTES", "OLDEST", "DEAD LETTERS", "DELIVERED"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(endpoints.iter().map(|one| row(one, now))).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end()); // a String takes everything
    }
    text
}

fn row(one: &Figures, now: Timestamp) -> [String; 6] {
    let Figures { namespace, webhook, uid: _, served, queued, dead_letters, delivered, oldest } = one;
    let gone = if *served { "" } else { " (gone)" };
    let cells = [
        format!("{namespace}/{webhook}{gone}"),
        queued.messages.to_string(),
        queued.bytes.to_string(),
        oldest.map(|oldest| span(oldest, now)).unwrap_or_default(),
        dead_letters.messages.to_string(),
        delivered.messages.to_string(),
    ];
    cells.map(|cell| terminal::line(&cell))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admin_view::Amount;

    #[test]
    fn a_line_tells_how_much_there_is_and_whether_the_webhook_is_there() {
        let amount = |messages| Amount { messages, bytes: 10 * messages };
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let figures = |webhook: &str, served| Figures {
            namespace: "demo".to_owned(),
            webhook: webhook.to_owned(),
            uid: "u1".to_owned(),
            served,
            queued: amount(12),
            dead_letters: amount(3),
            delivered: amount(400),
            oldest: served.then(|| "2026-11-23T11:50:00Z".parse().unwrap()),
        };
        let text = table(&[figures("alerts", true), figures("old\u{1b}[2J", false)], now);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "WEBHOOK              QUEUED  BYTES  OLDEST  DEAD LETTERS  DELIVERED");
        assert_eq!(lines[1], "demo/alerts          12      120    10m     3             400");
        assert_eq!(lines[2], "demo/old\u{fffd}[2J (gone)  12      120            3             400");
    }
}
