//! Flow 2: what everybody may know: the keys (RFC 7517) and the metadata (RFC 8414).

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use jiff::Timestamp;

use super::{error::HttpError, reply, state::App};
use crate::token::{KeySet, metadata};

/// Also answered from records that are too old: a resource server that cannot read the keys could check nothing.
pub(super) async fn jwks(State(app): State<Arc<App>>) -> Result<Response, HttpError> {
    answer(&app, |keys| keys.jwks(Timestamp::now()))
}

pub(super) async fn document(State(app): State<Arc<App>>) -> Result<Response, HttpError> {
    answer(&app, |keys| metadata(keys, Timestamp::now()))
}

fn answer(app: &App, write: impl FnOnce(&KeySet) -> String) -> Result<Response, HttpError> {
    let snapshot = app.store.load();
    let keys = snapshot.keys.as_ref().ok_or(HttpError::Stale)?;
    Ok(reply::public(Body::from(write(keys))))
}
