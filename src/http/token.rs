//! Flow 2: `POST /oauth/token`.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::{error::HttpError, form, reply, state::App};
use crate::token::{Form, authenticate, issue};

pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let result = answer(&app, request).await;
    app.metrics.token(started.elapsed(), result.as_ref().map(|_| ()).map_err(HttpError::reason));
    match result {
        Ok(body) => reply::private(Body::from(body)),
        Err(error) => error.into_response(),
    }
}

async fn answer(app: &App, request: Request) -> Result<String, HttpError> {
    let (parts, body) = request.into_parts();
    app.admit(&parts)?;
    let body = form::read(&parts, body).await?;
    let form = Form::parse(&body)?;

    let snapshot = app.fresh()?;
    let keys = snapshot.keys.as_ref().ok_or(HttpError::Stale)?;
    let now = Timestamp::now();
    let client = authenticate(&snapshot.clients, super::authorization(&parts), &form, now)?;

    // The token is written straight into the answer.
    let mut answer = String::with_capacity(1024);
    answer.push_str(r#"{"access_token":""#);
    let grant = issue(client, keys, &form, now, rand::random(), &mut answer)?;
    // Writing to a string cannot fail.
    let _ = write!(answer, r#"","token_type":"Bearer","expires_in":{},"scope":{}}}"#, grant.expires_in, grant.scope);
    Ok(answer)
}
