//! Flow 3, pure: a notification of Prometheus Alertmanager.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Invalid,
    incoming::{Incoming, is_json},
    posted::{self, Content, Posted},
};

const PROBLEM: &str =
    "a notification of Alertmanager has the texts `version`, `groupKey` and `status`, and the list `alerts`";

/// What every notification has (Prometheus documentation, Configuration, `webhook_config`).
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, rename = "groupKey")]
    group_key: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(rename = "alerts")]
    _alerts: Vec<IgnoredAny>,
}

/// Its group is the ordering key: "resolved" must not overtake "firing".
///
/// # Errors
/// Not a notification of version 4.
pub(super) fn read<'a>(incoming: &Incoming<'a>) -> Result<Posted<'a>, Invalid> {
    if incoming.media_type().is_some_and(|media_type| !is_json(&media_type)) {
        return Err(Invalid::MediaType("send the notification as Content-Type: application/json".into()));
    }
    let content = Content::json(incoming.body.as_ref())?;
    let notification: Notification<'a> = posted::object(incoming.body).map_err(|_| Invalid::Body(PROBLEM.into()))?;
    if notification.version != "4" {
        return Err(Invalid::Body("the notification is not of version 4".into()));
    }
    if notification.group_key.is_empty() || notification.status.is_empty() {
        return Err(Invalid::Body("`groupKey` or `status` of the notification is empty".into()));
    }
    Ok(Posted { key: Some(notification.group_key.into_owned()), ..posted::whole(incoming, content) })
}
