//! Flow 2: the headers that every answer has.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Short against the 10 minutes for which a new key is published before it signs.
const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// JSON that nobody may keep: RFC 6749, section 5.1.
pub(super) fn private(body: Body) -> Response {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::PRAGMA, NO_CACHE);
    with(headers, body)
}

/// JSON for everybody.
pub(super) fn public(body: Body) -> Response {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, SHORT);
    with(headers, body)
}

fn with(headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}
