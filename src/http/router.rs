//! Flow 2: the public paths.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{Uri, uri::PathAndQuery},
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use hyper_util::service::TowerToHyperService;

use super::{discovery, error, forward_auth, hooks, introspect, state::App, token};
use crate::token::{FORWARD_AUTH_PATH, INTROSPECTION_PATH, JWKS_PATH, METADATA_PATH, TOKEN_PATH};

/// Endpoints: each refusal is told in their own way.
pub(super) fn hooks(hooks: hooks::Hooks) -> Router {
    Router::new().route(hooks::PATH, any(hooks::handle)).with_state(hooks)
}

/// No path is there.
pub(super) fn nothing() -> Router {
    Router::new().fallback(error::not_found)
}

pub(super) fn tokens(app: Arc<App>) -> Router {
    let endpoints = Router::new()
        .route(TOKEN_PATH, post(token::handle).fallback(error::only_post))
        .route(INTROSPECTION_PATH, post(introspect::handle).fallback(error::only_post))
        .route(forward_auth::PATH, any(forward_auth::handle))
        .route(JWKS_PATH, get(discovery::jwks).fallback(error::only_get))
        .route(METADATA_PATH, get(discovery::document).fallback(error::only_get))
        .fallback(error::not_found)
        .with_state(app.clone());
    endpoints.clone().fallback(async move |request| below_issuer(&app, endpoints, request).await)
}

/// An issuer with a path has its endpoints below it, unless a proxy in front takes the path away. Which path that is
/// stands in the records.
async fn below_issuer(app: &App, endpoints: Router, mut request: Request) -> Response {
    let snapshot = app.store.load_full();
    let path = snapshot.keys.as_ref().and_then(|keys| endpoint(request.uri().path(), keys.issuer_path()));
    let Some(Ok(path)) = path.map(PathAndQuery::try_from) else { return error::not_found().await.into_response() };
    *request.uri_mut() = Uri::from(path);
    let Ok(response) = hyper::service::Service::call(&TowerToHyperService::new(endpoints), request).await;
    response
}

/// The endpoint behind a path that has the issuer's path in it.
fn endpoint<'a>(path: &'a str, issuer_path: &str) -> Option<&'a str> {
    if issuer_path.is_empty() {
        return None;
    }
    // RFC 8414, section 3.1: inserted between the well-known path and the issuer's.
    if path.strip_prefix(METADATA_PATH) == Some(issuer_path) {
        return Some(METADATA_PATH);
    }
    let below = path.strip_prefix(issuer_path)?;
    let is_endpoint = [TOKEN_PATH, INTROSPECTION_PATH, JWKS_PATH].contains(&below);
    (is_endpoint || below.starts_with(FORWARD_AUTH_PATH)).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_lie_below_the_issuer_and_its_metadata_above() {
        assert_eq!(endpoint("/x/oauth/token", "/x"), Some(TOKEN_PATH));
        assert_eq!(endpoint("/x/y/oauth/jwks", "/x/y"), Some(JWKS_PATH));
        assert_eq!(endpoint("/x/oauth/forward-auth/orders/7", "/x"), Some("/oauth/forward-auth/orders/7"));
        assert_eq!(endpoint("/.well-known/oauth-authorization-server/x", "/x"), Some(METADATA_PATH));
        for path in
            ["/y/oauth/token", "/x/oauth/other", "/xoauth/token", "/x", "/.well-known/oauth-authorization-server/y"]
        {
            assert_eq!(endpoint(path, "/x"), None, "{path}");
        }
        assert_eq!(endpoint("/oauth/token", ""), None);
    }
}
