//! Flow 1: one way to call the API server: with a deadline, and with errors sorted by what happens next.

use std::{future::Future, time::Duration};

use kube::{
    api::{PatchParams, PostParams},
    core::Status,
};

use super::apply::ApplyError;
use crate::crd::FIELD_MANAGER;

/// No call takes longer: a server that is stopped keeps its connections open.
const DEADLINE: Duration = Duration::from_secs(10);

/// Of an object, and in plain text of a kind that the API server does not have.
pub const NOT_FOUND: u16 = 404;

/// Awaits a call, and sorts its error.
///
/// # Errors
/// As [`ApplyError`] sorts them.
pub async fn call<T>(object: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, ApplyError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(result) => result.map_err(|error| sort(object, error)),
        Err(elapsed) => Err(ApplyError::Unreachable { object: object.to_owned(), source: elapsed.into() }),
    }
}

/// As [`call`], where an object that is not there is an answer.
///
/// # Errors
/// As [`ApplyError`] sorts them.
pub async fn call_opt<T>(
    object: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<Option<T>, ApplyError> {
    call(object, async {
        match request.await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Of every object that is made.
#[must_use]
pub fn create_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

/// Of every object that is changed by a merge patch.
#[must_use]
pub fn merge_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn sort(object: &str, error: kube::Error) -> ApplyError {
    let object = object.to_owned();
    match error {
        kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() || status.code == NOT_FOUND => {
            ApplyError::Conflict { object }
        }
        kube::Error::Api(status) if is_terminating(&status) => ApplyError::Going { object },
        kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() || status.code == 400 => {
            ApplyError::Refused { object, message: status.message }
        }
        error => ApplyError::Unreachable { object, source: Box::new(error) },
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
