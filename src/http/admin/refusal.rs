//! Flow 3: the one place where what administration cannot do turns into an HTTP answer.

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::view::Problem;
use crate::{
    delivery::queue::Unavailable,
    http::{hooks::Answer, reply},
};

const SEE_THE_LOG: &str = "try again; if that does not help, see the log of the server";

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No such path.
    Path,
    /// Another method.
    Method,
    /// A query parameter that is not known, or its value; with what would be right.
    Query(String, &'static str),
    /// No message has this id.
    Message,
    /// There is no `Webhook` of that name to send to.
    Nowhere(String),
    /// The `Webhook` of a message is not there.
    Gone(String),
    /// The records were not read yet.
    NotRead,
    /// The queue does not work now.
    Unavailable,
    /// The queue ceased to work when so many dead letters had been replayed.
    Interrupted(u64),
    /// As a post would have been refused.
    Post(Answer),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path | Self::Message | Self::Nowhere(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Query(..) => StatusCode::BAD_REQUEST,
            Self::Gone(_) => StatusCode::CONFLICT,
            Self::NotRead | Self::Unavailable | Self::Interrupted(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Post(answer) => answer.status(),
        }
    }

    fn problem(&self) -> Problem {
        let (error, message, fix) = match self {
            Self::Path => {
                ("not_found", text("there is no such path"), "use the same version of snaphook on both sides")
            }
            Self::Method => ("method", text("this path has other methods"), "use the method that Allow names"),
            Self::Query(parameter, fix) => ("query", format!("the parameter {parameter} cannot be used"), *fix),
            Self::Message => (
                "no_message",
                text("there is no message of that id"),
                "list those that there are: what has ended is kept for a while only, and a dropped message is gone",
            ),
            Self::Nowhere(webhook) => (
                "no_webhook",
                format!("there is no Webhook {webhook} here"),
                "apply it, and see with `kubectl get webhooks` whether it is Ready",
            ),
            Self::Gone(webhook) => (
                "no_webhook",
                format!("there is no Webhook {webhook} that this could be delivered for"),
                "apply it again, wait until it is Ready, and replay then; or drop the message",
            ),
            Self::NotRead => ("not_ready", text("the records were not read yet"), "try again when /readyz says ok"),
            Self::Unavailable => ("unavailable", text("the queue is not available"), SEE_THE_LOG),
            Self::Interrupted(replayed) => (
                "unavailable",
                format!("the queue ceased to be available when {replayed} dead letters had been replayed"),
                "do it again: those are not touched twice",
            ),
            Self::Post(answer) => {
                let (error, message) = answer.problem();
                return Problem { error: error.to_owned(), message: message.into_owned(), fix: fix(answer).to_owned() };
            }
        };
        Problem { error: error.to_owned(), message, fix: fix.to_owned() }
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// What an operator does about a post that is refused.
fn fix(answer: &Answer) -> &'static str {
    match answer {
        Answer::Gone => "set spec.active to true, or spec.inactiveMode to Hold",
        Answer::TooLarge => "send less, or raise spec.maxBodyBytes",
        Answer::Invalid(_) => "send what spec.handler.type stands for, with its content type",
        _ => SEE_THE_LOG,
    }
}

impl From<Unavailable> for Refusal {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default(); // text always serialises
        let mut response = reply::private(Body::from(body));
        *response.status_mut() = self.status();
        response
    }
}
