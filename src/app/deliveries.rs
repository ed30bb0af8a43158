//! Start-up of `snaphook deliveries`, `endpoints`, `replay`, `drop` and `send`: what a person asks of a server that runs.

mod client;
mod endpoints;
mod table;

use std::{
    future::Future,
    io::{self, Read as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use form_urlencoded::Serializer;
use hyper::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::client::{AskError, Client};
pub use self::endpoints::{Endpoints, endpoints};
use super::hooks::ADMIN_SOCKET;
use crate::{
    delivery::message::MessageId,
    http::admin_view::{AllReplayed, Dropped, Message, Page, Replayed, Sent, SentOutcome, State},
    terminal,
};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (also where one of several failed), 2 wrong usage.";

/// Which server is asked.
#[derive(clap::Args, Debug)]
struct Server {
    /// The --admin-socket of the server
    #[arg(long, value_name = "PATH", env = "SNAPHOOK_ADMIN_SOCKET", default_value = ADMIN_SOCKET)]
    socket: PathBuf,
}

/// Arguments of `snaphook deliveries`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct List {
    /// Show this message alone, with the log of its attempts
    #[arg(value_name = "ID", value_parser = message_id, conflicts_with_all = ["namespace", "webhook", "state", "limit"])]
    id: Option<MessageId>,
    /// Messages of the Webhooks in this namespace [default: of all]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Messages of the Webhooks of this name
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Messages in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Show headers and body as well
    #[arg(long, requires = "id")]
    body: bool,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Arguments of `snaphook replay`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Replay {
    /// The messages to deliver again
    #[arg(value_name = "ID", value_parser = message_id, required_unless_present = "dead_letters")]
    ids: Vec<MessageId>,
    /// All dead letters of one Webhook, those from before it was deleted and applied again too
    #[arg(long, requires = "namespace", requires = "webhook", conflicts_with = "ids")]
    dead_letters: bool,
    /// The namespace of the Webhook
    #[arg(short, long, requires = "dead_letters")]
    namespace: Option<String>,
    /// The name of the Webhook
    #[arg(long, value_name = "NAME", requires = "dead_letters")]
    webhook: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Arguments of `snaphook drop`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Discard {
    /// The messages to remove, wherever they stand
    #[arg(value_name = "ID", value_parser = message_id, required = true)]
    ids: Vec<MessageId>,
    #[command(flatten)]
    server: Server,
}

/// Arguments of `snaphook send`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Send {
    /// The Webhook that takes the message as if its sender had been verified: filter, transform and key count
    #[arg(value_name = "NAMESPACE/NAME", value_parser = webhook)]
    webhook: (String, String),
    /// The body: text, @ and the name of a file, or - for the standard input
    #[arg(long, value_name = "TEXT|@FILE|-", default_value = "{}", allow_hyphen_values = true)]
    data: String,
    /// What the body is
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: HeaderValue,
    /// A header that the sender would set; give it once for each
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    server: Server,
}

impl Send {
    /// The body, as it was given.
    pub(crate) fn data(&self) -> &str {
        &self.data
    }
}

fn message_id(text: &str) -> Result<MessageId, &'static str> {
    MessageId::parse(text).ok_or("expected msg_ and 44 digits, as `snaphook deliveries` lists them")
}

fn webhook(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected a namespace, a slash and a name"),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once('=').ok_or("expected a name, = and a value")?;
    let value = HeaderValue::try_from(value).map_err(|_| "a header's value has no line breaks and no controls")?;
    let name = HeaderName::try_from(name).map_err(|_| format!("{name:?} is not the name of a header"))?;
    match name {
        header::CONTENT_TYPE => Err("use --content-type".to_owned()),
        header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION => {
            Err(format!("{name} belongs to HTTP itself"))
        }
        name => Ok((name, value)),
    }
}

/// Lists messages, or shows one.
///
/// # Errors
/// The server cannot be asked, or says no.
pub fn list(args: &List) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server.socket);
    let now = Timestamp::now();
    if let Some(id) = args.id {
        let message: Message = wait(client.get(&format!("/messages/{id}?body={}", args.body)))??;
        return print(&match args.output {
            Output::Table => table::alone(&message, now),
            Output::Json => terminal::json(&message)?,
        });
    }
    let page = wait(pages(&client, args))??;
    if page.next.is_some() {
        eprintln!("There are more: raise --limit, or ask for fewer with --namespace, --webhook and --state.");
    }
    print(&match args.output {
        Output::Table if page.messages.is_empty() => "No messages.\n".to_owned(),
        Output::Table => table::table(&page.messages, now),
        Output::Json => terminal::json(&page)?,
    })
}

/// As many pages as are asked for, as one.
async fn pages(client: &Client, args: &List) -> Result<Page, AskError> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut all = Page { messages: Vec::new(), next: None };
    loop {
        let left = (limit - all.messages.len()).to_string();
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &left);
        let filters = [("namespace", &args.namespace), ("webhook", &args.webhook), ("cursor", &all.next)];
        query.extend_pairs(filters.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        query.extend_pairs(args.state.map(|state| ("state", state.as_str())));
        let page: Page = client.get(&format!("/messages?{}", query.finish())).await?;
        all.messages.extend(page.messages);
        all.next = page.next;
        if all.next.is_none() || all.messages.len() >= limit {
            return Ok(all);
        }
    }
}

/// Delivers messages again.
///
/// # Errors
/// The server cannot be asked, or says no to all dead letters.
pub fn replay(args: &Replay) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server.socket);
    if let (Some(namespace), Some(name)) = (&args.namespace, &args.webhook) {
        let path = format!("{}/replay", path_of(namespace, name));
        let AllReplayed { replayed } = wait(client.post(&path))??;
        return print(&format!("{replayed} replayed\n"));
    }
    each(&args.ids, async |id| {
        let Replayed { id, state } = client.post(&format!("/messages/{id}/replay")).await?;
        Ok(format!("{} {}\n", terminal::line(&id), state.as_str()))
    })
}

/// Removes messages.
///
/// # Errors
/// The output cannot be written.
pub fn discard(args: &Discard) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server.socket);
    each(&args.ids, async |id| {
        let Dropped { id } = client.delete(&format!("/messages/{id}")).await?;
        Ok(format!("{} dropped\n", terminal::line(&id)))
    })
}

/// Does something to each message, also when it fails for another one.
fn each(ids: &[MessageId], act: impl AsyncFn(MessageId) -> Result<String, AskError>) -> anyhow::Result<ExitCode> {
    wait(async {
        let mut code = ExitCode::SUCCESS;
        for id in ids {
            match act(*id).await {
                Ok(done) => terminal::print(&done)?,
                Err(refused @ AskError::Refused { .. }) => {
                    eprintln!("{id}: {refused}");
                    code = ExitCode::FAILURE;
                }
                // The next one would fare no better.
                Err(other) => return Err(other.into()),
            }
        }
        Ok(code)
    })?
}

/// Sends a message of one's own.
///
/// # Errors
/// The body cannot be read, or the server cannot be asked, or says no.
pub fn send(args: &Send) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server.socket);
    let (namespace, name) = &args.webhook;
    let path = format!("{}/messages", path_of(namespace, name));
    let content_type = (header::CONTENT_TYPE, args.content_type.clone());
    let headers = args.headers.iter().cloned().chain([content_type]).collect();
    let sent = client.post_body(&path, headers, body(&args.data)?.into());
    let Sent { outcome, ids } = wait(sent)??;
    let ids = terminal::line(&ids.join(" "));
    print(&match outcome {
        SentOutcome::Stored => format!("{ids} stored\n"),
        SentOutcome::Duplicate => format!("{ids} was stored before with the same content: nothing is stored\n"),
        SentOutcome::Filtered => "spec.handler.filter drops it: nothing is stored\n".to_owned(),
    })
}

fn body(data: &str) -> anyhow::Result<Vec<u8>> {
    match data.strip_prefix('@') {
        _ if data == "-" => {
            let mut body = Vec::new();
            io::stdin().lock().read_to_end(&mut body).context("the standard input cannot be read")?;
            Ok(body)
        }
        Some(file) => std::fs::read(file).with_context(|| format!("{file} cannot be read")),
        None => Ok(data.as_bytes().to_owned()),
    }
}

fn path_of(namespace: &str, name: &str) -> String {
    let [namespace, name] = [namespace, name].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC));
    format!("/webhooks/{namespace}/{name}")
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    terminal::print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn wait<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_named_by_two_parts() {
        assert_eq!(webhook("demo/alerts"), Ok(("demo".to_owned(), "alerts".to_owned())));
        for bad in ["", "alerts", "/alerts", "demo/", "a/b/c"] {
            assert!(webhook(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("X-GitHub-Event=push=x").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-github-event", "push=x"));
        assert!(header("x=").unwrap().1.is_empty());
        for (bad, problem) in [
            ("x", "="),
            ("=x", "name"),
            ("a b=x", "name"),
            ("a=\n", "line break"),
            ("Content-Type=text/plain", "--content-type"),
            ("host=x", "HTTP"),
            ("content-length=1", "HTTP"),
        ] {
            let error = header(bad).unwrap_err();
            assert!(error.contains(problem), "{bad:?}: {error}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        assert_eq!(path_of("a/../b", "c?d"), "/webhooks/a%2F%2E%2E%2Fb/c%3Fd");
    }
}
