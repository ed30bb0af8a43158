//! Flow 3, up to the 2xx: `POST /hooks/{id}`: look up ▶ verify ▶ deduplicate ▶ filter, transform ▶ store ▶ answer.

mod answer;
mod intake;
mod pool;
mod rates;

use std::{sync::Arc, time::Instant};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Method, request::Parts},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

pub(super) use self::{answer::Answer, intake::Intake};
use super::{body, state::App};
use crate::{
    inbound::{
        Endpoint, handler, handshake,
        verify::{self, Verdict},
    },
    record::{
        EndpointRecord,
        endpoint::{InactiveMode, TokenRequirements},
    },
    token::PostError,
};

/// Where endpoints are, as axum writes it.
pub(super) const PATH: &str = "/hooks/{id}";

/// The metric's outcome of what an operator sent, where it is stored.
const SENT: &str = "sent";

/// What the route needs.
#[derive(Clone)]
pub(super) struct Hooks {
    pub(super) app: Arc<App>,
    pub(super) intake: Arc<Intake>,
}

pub(super) async fn handle(
    State(hooks): State<Hooks>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let started = Instant::now();
    // What is not UTF-8 is as unknown as any other id, and an empty one is nobody's.
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let answer = hooks.answer(&id, request).await.unwrap_or_else(|refusal| refusal);
    hooks.app.metrics.hooks().post(started.elapsed(), answer.outcome());
    answer.into_response()
}

impl Hooks {
    /// A refusal is an error, so that the steps read as they follow one another.
    async fn answer(&self, id: &str, request: Request) -> Result<Answer, Answer> {
        let now = Timestamp::now();
        let endpoint = self.find(id, now)?;
        let (parts, body) = request.into_parts();
        if let Some(answer) = check_method(&parts, endpoint.record())? {
            return Ok(answer);
        }
        check_state(endpoint.record())?;
        self.intake.admit(endpoint.record())?;
        let body = read(&parts, body, endpoint.record()).await?;
        let delivery_id = self.verify(&endpoint, &parts, &body, now)?;
        if let Some(handshake) = handshake::after_verification(&endpoint.record().verification, &body) {
            return Ok(Answer::Handshake(handshake));
        }
        self.intake.take(endpoint, parts, body, delivery_id, now).await
    }

    /// Endpoints are served from the last snapshot, however old it is; before the first one nothing is known to be unknown.
    fn find(&self, id: &str, now: Timestamp) -> Result<Arc<Endpoint>, Answer> {
        let found = self.app.store.load().endpoint(id, now).cloned();
        if found.is_none() && self.app.store.age(Instant::now()).is_none() {
            return Err(Answer::Unavailable("records_not_read"));
        }
        found.ok_or(Answer::Unknown)
    }

    fn verify(
        &self,
        endpoint: &Endpoint,
        parts: &Parts,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Option<String>, Answer> {
        let verifier = endpoint.verifier();
        let unauthorized = |reason: &'static str| Answer::Unauthorized { reason, challenge: verifier.challenge() };
        let incoming = verify::Incoming { headers: &parts.headers, body };
        match verifier.verify(&incoming, now).map_err(|rejection| unauthorized(rejection.reason()))? {
            Verdict::Verified(sender) => Ok(sender.delivery_id),
            Verdict::CheckToken { token, required } => {
                let namespace = &endpoint.record().source.namespace;
                let checked = self.check_token(token, required, namespace, now)?;
                match checked.ok_or_else(|| unauthorized("InactiveToken"))? {
                    Ok(()) => Ok(None),
                    Err(PostError::OtherAudience) => Err(unauthorized("OtherAudience")),
                    Err(PostError::OtherClient) => Err(Answer::OtherClient),
                    Err(PostError::MissingScope) => Err(Answer::Forbidden),
                }
            }
        }
    }

    /// Whether a token of ours has what is required; nothing where it is not active.
    fn check_token(
        &self,
        token: &str,
        required: &TokenRequirements,
        namespace: &str,
        now: Timestamp,
    ) -> Result<Option<Result<(), PostError>>, Answer> {
        let snapshot = self.app.fresh().map_err(|_| Answer::Unavailable("records_stale"))?;
        let keys = snapshot.keys.as_ref().ok_or(Answer::Unavailable("no_signing_keys"))?;
        let active = self.app.seen.active(keys, &snapshot.clients, token, now);
        Ok(active.map(|seen| seen.verified.may_post(required, keys, &snapshot.clients, namespace)))
    }
}

/// Takes what an operator sends to try an endpoint: as a post whose sender needs no proof, and that counts for no rate.
pub(super) async fn take_unverified(
    intake: &Intake,
    endpoint: Arc<Endpoint>,
    request: Request,
    now: Timestamp,
) -> Result<Answer, Answer> {
    let started = Instant::now();
    let answer = read_and_take(intake, endpoint, request, now).await;
    let outcome = match &answer {
        Ok(Answer::Stored(_)) => SENT,
        Ok(answer) | Err(answer) => answer.outcome(),
    };
    intake.metrics().post(started.elapsed(), outcome);
    answer
}

async fn read_and_take(
    intake: &Intake,
    endpoint: Arc<Endpoint>,
    request: Request,
    now: Timestamp,
) -> Result<Answer, Answer> {
    let (parts, body) = request.into_parts();
    check_state(endpoint.record())?;
    let body = read(&parts, body, endpoint.record()).await?;
    intake.take(endpoint, parts, body, None, now).await
}

/// The answer to a handshake that is no post.
fn check_method(parts: &Parts, record: &EndpointRecord) -> Result<Option<Answer>, Answer> {
    match parts.method {
        Method::POST => Ok(None),
        Method::OPTIONS => {
            let answer = handshake::preflight(&parts.headers, record.handler.type_, record.limits.posts_per_second);
            answer.map(|answer| Some(Answer::Handshake(answer))).ok_or(Answer::Method)
        }
        _ => Err(Answer::Method),
    }
}

fn check_state(record: &EndpointRecord) -> Result<(), Answer> {
    let refused = !record.active && record.inactive_mode == InactiveMode::Reject;
    if refused { Err(Answer::Gone) } else { Ok(()) }
}

async fn read(parts: &Parts, body: Body, record: &EndpointRecord) -> Result<Bytes, Answer> {
    let limit = usize::try_from(record.max_body_bytes).unwrap_or(usize::MAX);
    body::read(&parts.headers, body, limit).await.map_err(Answer::from)
}

/// A post as handlers look at it.
fn incoming<'a>(parts: &'a Parts, body: &'a Bytes) -> handler::Incoming<'a> {
    handler::Incoming { headers: &parts.headers, query: parts.uri.query().unwrap_or_default(), body }
}
