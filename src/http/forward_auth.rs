//! Flow 2: `/oauth/forward-auth/{policy}`: whether a request that a proxy was sent may go on to the application.
//!
//! Proxies send the original method or GET, and some append the original path and query: none of these counts here, so that whoever sends
//! the request has no say in how it is judged. Its body is not read.

use std::{sync::Arc, time::Instant};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::{error::HttpError, reply, state::App};
use crate::{
    telemetry::metrics::server::ForwardAuth,
    token::{BearerError, FORWARD_AUTH_PATH, bearer},
};

/// As axum writes it. Behind the name of the policy, Envoy has the path of the request.
pub(super) const PATH: &str = "/oauth/forward-auth/{*policy}";

const CLIENT_ID: HeaderName = HeaderName::from_static("x-snaphook-client-id");
const NAMESPACE: HeaderName = HeaderName::from_static("x-snaphook-namespace");
const SCOPE: HeaderName = HeaderName::from_static("x-snaphook-scope");

pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let result = check(&app, &request.into_parts().0);
    app.metrics.forward_auth(started.elapsed(), result.as_ref().map_or_else(outcome, |_| ForwardAuth::Allowed));
    match result {
        Ok((identity, answer)) => {
            let mut response = reply::private(Body::from(answer));
            response.headers_mut().extend(identity);
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Who is asking, for the application; and what introspection answers about the token, for a person who tries this by hand.
fn check(app: &App, parts: &Parts) -> Result<(HeaderMap, Bytes), HttpError> {
    app.admit(parts)?;
    let snapshot = app.fresh()?;
    let keys = snapshot.keys.as_ref().ok_or(HttpError::Stale)?;
    let policy = keys.policy(policy(parts.uri.path())).ok_or(HttpError::UnknownPolicy)?;
    let token = bearer(super::authorization(parts))?;
    let seen = app.seen.active(keys, &snapshot.clients, token, Timestamp::now()).ok_or(BearerError::InvalidToken)?;
    seen.verified.satisfies(policy)?;
    let claims = seen.verified.claims();
    let headers = [(CLIENT_ID, &claims.client_id), (NAMESPACE, &claims.namespace), (SCOPE, &claims.scope)];
    let headers = headers.into_iter().map(|(name, text)| Ok((name, value(text)?)));
    Ok((headers.collect::<Result<_, HttpError>>()?, seen.answer.clone()))
}

/// The name of the policy in a path that has more behind it.
fn policy(path: &str) -> &str {
    let rest = path.strip_prefix(FORWARD_AUTH_PATH).unwrap_or_default();
    rest.split_once('/').map_or(rest, |(policy, _)| policy)
}

fn value(text: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(text).map_err(|_| {
        tracing::error!("a token has a client id, namespace or scope that no header can hold");
        HttpError::Internal
    })
}

fn outcome(error: &HttpError) -> ForwardAuth {
    match error {
        HttpError::Bearer(BearerError::Missing) => ForwardAuth::NoToken,
        HttpError::Bearer(BearerError::Malformed(_)) => ForwardAuth::Malformed,
        HttpError::Bearer(BearerError::InvalidToken) => ForwardAuth::InvalidToken,
        HttpError::Bearer(BearerError::InsufficientScope(_)) => ForwardAuth::InsufficientScope,
        HttpError::UnknownPolicy => ForwardAuth::UnknownPolicy,
        HttpError::RateLimited(_) => ForwardAuth::RateLimited,
        HttpError::Stale => ForwardAuth::Stale,
        HttpError::Internal
        | HttpError::Refused(_)
        | HttpError::TooLarge
        | HttpError::Slow
        | HttpError::NotFound
        | HttpError::Method(_) => ForwardAuth::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_first_segment_whatever_comes_behind() {
        for path in ["orders", "orders/", "orders/7", "orders/../invoices", "orders//", "orders/%ff"] {
            assert_eq!(policy(&format!("/oauth/forward-auth/{path}")), "orders", "{path}");
        }
        assert_eq!(policy("/oauth/forward-auth/orders%2Finvoices"), "orders%2Finvoices");
        assert_eq!(policy("/oauth/forward-auth//orders"), "");
    }
}
