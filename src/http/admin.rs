//! Flow 3: administration, over a Unix socket: what became of messages, and what an operator does to them.
//!
//! | path | what |
//! |---|---|
//! | `GET /messages?namespace&webhook&state&cursor&limit` | a page of messages |
//! | `GET /messages/{id}?body` | one message with its log; with `body=true` what it sends on, too |
//! | `POST /messages/{id}/replay` | delivers it again, to the `Webhook` as it is now |
//! | `DELETE /messages/{id}` | drops it |
//! | `GET /endpoints` | how much there is of each endpoint |
//! | `POST /webhooks/{namespace}/{name}/replay` | replays all its dead letters |
//! | `POST /webhooks/{namespace}/{name}/messages` | takes the body as a post to that `Webhook` that was verified |
//!
//! All answers are JSON, as [`view`] has it. Who may ask is decided by who may open the socket.

mod refusal;
mod socket;
pub mod view;

use std::{pin::pin, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::Uri,
    response::Response,
    routing::{get, post},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use self::refusal::Refusal;
pub use self::socket::{AdminSocket, SocketError};
use super::{
    hooks::{self, Answer, Intake},
    reply,
};
use crate::{
    delivery::{
        message::{self, EndpointRef, MessageId, Phase},
        queue::{Archive, Cursor, Query, Queue},
    },
    inbound::Endpoint,
    store::Store,
};

/// Messages on a page where nobody says how many.
const PAGE: usize = 100;
/// Dead letters replayed at once: one sync is then enough for them.
const AT_ONCE: usize = 64;

/// A queue that can be looked into.
pub trait Messages: Queue + Archive {}

impl<T: Queue + Archive> Messages for T {}

/// What administration works on.
#[derive(Clone)]
pub struct Admin {
    pub(super) messages: Arc<dyn Messages>,
    pub(super) store: Arc<Store>,
    pub(super) intake: Arc<Intake>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admin").finish_non_exhaustive()
    }
}

type Answered<T> = Result<Json<T>, Refusal>;

impl Admin {
    /// Answers for as long as it is polled.
    pub async fn serve(self, socket: AdminSocket) {
        let (listener, _file) = socket.into_parts();
        // It accepts for ever, and notes errors of the listener itself.
        let _ = axum::serve(listener, router(self)).await;
    }

    /// The `Webhook` as it is now.
    fn webhook(&self, namespace: &str, name: &str) -> Result<Option<Arc<Endpoint>>, Refusal> {
        if self.store.age(Instant::now()).is_none() {
            return Err(Refusal::NotRead);
        }
        Ok(self.store.load().endpoints.get(format!("{namespace}/{name}").as_str()).cloned())
    }

    /// The endpoint that messages of a `Webhook` of this name can be delivered for today.
    fn present(&self, namespace: &str, name: &str) -> Result<EndpointRef, Refusal> {
        let webhook = self.webhook(namespace, name)?.ok_or_else(|| Refusal::Gone(format!("{namespace}/{name}")))?;
        Ok(EndpointRef::from(&webhook.record().source))
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/messages", get(list))
        .route("/messages/{id}", get(show).delete(discard))
        .route("/messages/{id}/replay", post(replay))
        .route("/endpoints", get(endpoints))
        .route("/webhooks/{namespace}/{name}/replay", post(replay_dead_letters))
        .route("/webhooks/{namespace}/{name}/messages", post(send))
        .fallback(async || Refusal::Path)
        .method_not_allowed_fallback(async || Refusal::Method)
        .with_state(admin)
}

async fn list(State(admin): State<Admin>, uri: Uri) -> Answered<view::Page> {
    let page = admin.messages.list(query(&uri)?).await?;
    let messages = page.messages.into_iter().map(view::Message::listed).collect();
    Ok(Json(view::Page { messages, next: page.next.map(|cursor| cursor.to_string()) }))
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>, uri: Uri) -> Answered<view::Message> {
    let (id, body) = (message_id(&id)?, wants_body(&uri)?);
    let mut message = admin.messages.find(id).await?.map(view::Message::alone).ok_or(Refusal::Message)?;
    if body {
        message.content = Some(view::Content::from(&admin.messages.content(id).await?.ok_or(Refusal::Message)?));
    }
    Ok(Json(message))
}

async fn replay(State(admin): State<Admin>, Path(id): Path<String>) -> Answered<view::Replayed> {
    let id = message_id(&id)?;
    let message = admin.messages.find(id).await?.ok_or(Refusal::Message)?;
    let endpoint = admin.present(&message.endpoint.namespace, &message.endpoint.name)?;
    let phase = admin.messages.replay(id, endpoint, Timestamp::now()).await?.ok_or(Refusal::Message)?;
    Ok(Json(view::Replayed { id: id.to_string(), state: phase.into() }))
}

async fn discard(State(admin): State<Admin>, Path(id): Path<String>) -> Answered<view::Dropped> {
    let id = message_id(&id)?;
    let dropped = admin.messages.discard(id).await?;
    if dropped { Ok(Json(view::Dropped { id: id.to_string() })) } else { Err(Refusal::Message) }
}

async fn endpoints(State(admin): State<Admin>) -> Answered<view::Endpoints> {
    let figures = admin.messages.endpoints().await?.into_iter().map(|figures| {
        let endpoint = &figures.endpoint;
        let served = admin.webhook(&endpoint.namespace, &endpoint.name)?;
        let served = served.is_some_and(|served| *served.record().source.uid == *endpoint.uid);
        Ok(view::Figures::new(figures, served))
    });
    Ok(Json(view::Endpoints { endpoints: figures.collect::<Result<_, Refusal>>()? }))
}

async fn replay_dead_letters(
    State(admin): State<Admin>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answered<view::AllReplayed> {
    let endpoint = admin.present(&namespace, &name)?;
    let started = Timestamp::now();
    let (namespace, name) = (Some(namespace.into()), Some(name.into()));
    let mut query = Query { namespace, name, phase: Some(Phase::DeadLetter), after: None, limit: usize::MAX };
    let mut replayed = 0;
    loop {
        let page = admin.messages.list(query.clone()).await.map_err(|_| Refusal::Interrupted(replayed))?;
        // What fails again at once comes again at the end of the list.
        let ended_before = page.messages.into_iter().filter(|message| ended_by(message, started));
        let replays = ended_before.map(|message| admin.messages.replay(message.id, endpoint.clone(), started));
        // In their order, which is the one that messages of one ordering key are delivered in.
        let mut replays = pin!(stream::iter(replays).buffered(AT_ONCE));
        while let Some(phase) = replays.try_next().await.map_err(|_| Refusal::Interrupted(replayed))? {
            replayed += u64::from(phase.is_some());
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(Json(view::AllReplayed { replayed })),
        }
    }
}

fn ended_by(message: &message::Message, time: Timestamp) -> bool {
    matches!(&message.state, message::State::DeadLetter { at, reason: _ } if *at <= time)
}

async fn send(
    State(admin): State<Admin>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Answered<view::Sent> {
    let webhook = admin.webhook(&namespace, &name)?.ok_or_else(|| Refusal::Nowhere(format!("{namespace}/{name}")))?;
    let answer = hooks::take_unverified(&admin.intake, webhook, request, Timestamp::now()).await;
    let (outcome, ids) = match answer {
        Ok(Answer::Stored(ids)) => (view::SentOutcome::Stored, ids),
        Ok(Answer::Duplicate(earlier)) => (view::SentOutcome::Duplicate, vec![earlier]),
        Ok(Answer::Filtered) => (view::SentOutcome::Filtered, Vec::new()),
        Ok(other) | Err(other) => return Err(Refusal::Post(other)),
    };
    Ok(Json(view::Sent { outcome, ids: ids.iter().map(ToString::to_string).collect() }))
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    MessageId::parse(text).ok_or(Refusal::Message)
}

fn query(uri: &Uri) -> Result<Query, Refusal> {
    let mut query = Query { limit: PAGE, ..Query::default() };
    for (name, value) in parameters(uri) {
        let wrong = |fix| Refusal::Query(name.clone(), fix);
        match name.as_str() {
            "namespace" => query.namespace = Some(value.into()),
            "webhook" => query.name = Some(value.into()),
            "state" => query.phase = Some(view::State::parse(&value).ok_or_else(|| wrong(STATES))?.into()),
            "cursor" => query.after = Some(Cursor::parse(&value).ok_or_else(|| wrong("take `next` of a page"))?),
            "limit" => query.limit = value.parse().map_err(|_| wrong("use a number"))?,
            _ => return Err(wrong("use namespace, webhook, state, cursor and limit")),
        }
    }
    Ok(query)
}

const STATES: &str = "use due, waiting, held, dead-letter or delivered";

fn wants_body(uri: &Uri) -> Result<bool, Refusal> {
    let mut wanted = false;
    for (name, value) in parameters(uri) {
        wanted = match (name.as_str(), value.as_str()) {
            ("body", "true") => true,
            ("body", "false") => false,
            _ => return Err(Refusal::Query(name, "use body=true or body=false")),
        };
    }
    Ok(wanted)
}

fn parameters(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned()
}

/// An answer.
struct Json<T>(T);

impl<T: Serialize> axum::response::IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => reply::private(Body::from(body)),
            // None of these types can fail.
            Err(_) => Refusal::Unavailable.into_response(),
        }
    }
}
