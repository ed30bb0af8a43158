//! Flow 2: the body of a form request.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header, request::Parts},
};

use super::{
    body::{self, BodyError},
    error::HttpError,
};
use crate::token::{Code, Refusal};

/// Ten times what the longest honest request has.
const MAX_BODY: usize = 64 * 1024;

/// The body of a request whose media type is that of a form.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<Bytes, HttpError> {
    let is_form = is_form(&parts.headers);
    let read = body::read(&parts.headers, body, if is_form { MAX_BODY } else { 0 }).await;
    if is_form { Ok(read?) } else { Err(not_a_form()) }
}

fn is_form(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn not_a_form() -> HttpError {
    let description = "send the parameters as Content-Type: application/x-www-form-urlencoded";
    HttpError::Refused(Refusal::new(Code::InvalidRequest, description))
}

impl From<BodyError> for HttpError {
    fn from(error: BodyError) -> Self {
        let broken = Refusal::new(Code::InvalidRequest, "the body ended before its time, or is badly framed");
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Slow => Self::Slow,
            BodyError::Broken => Self::Refused(broken),
        }
    }
}
