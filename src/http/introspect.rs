//! Flow 2: `POST /oauth/introspect` (RFC 7662).

use std::{sync::Arc, time::Instant};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::{error::HttpError, form, reply, state::App};
use crate::{
    telemetry::metrics::server::Introspection,
    token::{Code, Form, Refusal, authenticate},
};

/// All that anyone learns about a token that does not count, or is not for the caller.
const INACTIVE: &[u8] = br#"{"active":false}"#;

pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let result = answer(&app, request).await;
    app.metrics.introspection(
        started.elapsed(),
        match &result {
            Ok(Some(_)) => Introspection::Active,
            Ok(None) => Introspection::Inactive,
            Err(_) => Introspection::Refused,
        },
    );
    match result {
        Ok(body) => reply::private(Body::from(body.unwrap_or(Bytes::from_static(INACTIVE)))),
        Err(error) => error.into_response(),
    }
}

/// The answer for a token that counts; nothing for any other.
///
/// A caller without the scope for it has authenticated, so it is no invalid client; it learns nothing, whatever the token.
async fn answer(app: &App, request: Request) -> Result<Option<Bytes>, HttpError> {
    let (parts, body) = request.into_parts();
    app.admit(&parts)?;
    let body = form::read(&parts, body).await?;
    let form = Form::parse(&body)?;

    let snapshot = app.fresh()?;
    let keys = snapshot.keys.as_ref().ok_or(HttpError::Stale)?;
    let now = Timestamp::now();
    let caller = authenticate(&snapshot.clients, super::authorization(&parts), &form, now)?;
    let token = form.get("token").ok_or(MISSING)?;
    let active = app.seen.active(keys, &snapshot.clients, token, now);
    Ok(active.filter(|seen| caller.may_see(seen.verified.claims())).map(|seen| seen.answer.clone()))
}

const MISSING: Refusal =
    Refusal::new(Code::InvalidRequest, "token is missing: send the token to check as token in the body");
