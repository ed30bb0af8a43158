//! Reads the API server's audit log: what it was asked to do, by whom, and what it answered.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// One event for each request: of a watch when it begins, since it may never end, and of all others when they end.
pub(crate) const POLICY: &str = r"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [watch], omitStages: [ResponseComplete]}
- {level: Metadata}
";

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Audit {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(self.open()?.map_or(Ok(0), |file| file.metadata().map(|data| data.len()))?))
    }

    /// The requests that were answered since `mark`.
    ///
    /// # Guarantees
    /// The API server writes an event before it ends its answer, so a request whose whole answer a test has seen is here.
    ///
    /// # Caveats
    /// The event of a large answer may be a moment late: its first bytes leave before its last are made. So may that of a write whose
    /// effect was seen by another request. See [`Self::wait_for`].
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut text = String::new();
        if let Some(mut file) = self.open()? {
            file.seek(SeekFrom::Start(mark.0))?;
            file.read_to_string(&mut text)?;
        }
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(parse).collect()
    }

    /// The requests since `mark`, as soon as `enough` of them are there.
    ///
    /// # Errors
    /// When there are not `within` that time; the message lists those that are.
    pub async fn wait_for(
        &self,
        mark: Mark,
        within: Duration,
        enough: impl Fn(&[AuditEvent]) -> bool,
    ) -> Result<Vec<AuditEvent>> {
        let deadline = Instant::now() + within;
        loop {
            let events = self.since(mark)?;
            if enough(&events) {
                return Ok(events);
            }
            if Instant::now() > deadline {
                bail!("not in the audit log after {within:?}; what is there: {events:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn open(&self) -> Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        }
    }
}

/// A request that the API server has answered. What does not apply is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other paths the HTTP method.
    pub verb: String,
    /// On whose behalf: the impersonated user if there is one. `system:serviceaccount:NAMESPACE:NAME` for an account.
    pub user: String,
    /// The program, as it says itself.
    pub user_agent: String,
    /// Plural, such as `secrets`.
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
    /// Empty for the core group.
    pub api_group: String,
    /// Such as `v1`.
    pub api_version: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Also of a created object.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
    /// Path and query.
    pub uri: String,
    /// When the request came.
    pub received: Timestamp,
    /// When the answer was made.
    pub time: Timestamp,
}

impl AuditEvent {
    /// Whether it changed something, or would have: not a read, not a review, and not a dry run.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
            && !matches!(self.api_group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
            && !self.uri.contains("dryRun=All")
    }

    /// The right that it takes, as a rule of RBAC has it: verb and resource, such as `patch webhooks/status`.
    #[must_use]
    pub fn right(&self) -> String {
        let Self { verb, resource, subresource, .. } = self;
        if subresource.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{subresource}") }
    }

    /// Whether the API server did as it was asked.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

fn parse(line: &str) -> Result<AuditEvent> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("not an audit event: {line}"))?;
    let Line { verb, user, impersonated_user, user_agent, object_ref, response_status, request_uri, received, time } =
        line;
    let ObjectRef { resource, subresource, api_group, api_version, namespace, name } = object_ref;
    Ok(AuditEvent {
        verb,
        user: impersonated_user.unwrap_or(user).username,
        user_agent,
        resource,
        subresource,
        api_group,
        api_version,
        namespace,
        name,
        code: response_status.code,
        uri: request_uri,
        received,
        time,
    })
}

/// `audit.k8s.io/v1` Event, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(rename = "requestReceivedTimestamp")]
    received: Timestamp,
    #[serde(rename = "stageTimestamp")]
    time: Timestamp,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    api_group: String,
    api_version: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}
