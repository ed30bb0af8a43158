//! Flow 1 without a cluster: from documents to resources, as the API server admits them: defaults, checks, uid and generation.
//!
//! What is refused is reported with its place, and leaves the last good state: a refused resource as it was, and of a file with
//! a mistake in it every resource that can no longer be found there.

mod checkers;
mod secret;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

pub use self::checkers::Checkers;
use super::{
    Key, Named,
    manifests::{Manifests, Parsed},
    objects,
    resources::{Of, Resources},
    world::Declared,
    yaml::Document,
};
use crate::crd::{
    AppCredential, GROUP, Kind, Webhook, WebhookCredential,
    check::{Checker, Place, Problem},
};

const API_VERSION: &str = "snaphook.dev/v1alpha1";
const DEFAULT_NAMESPACE: &str = "default";

/// Why something in a file is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The file's name.
    pub file: String,
    /// From 1, where it is known.
    pub line: Option<u64>,
    /// The resource, where it is known which.
    pub object: Option<String>,
    /// The field, what is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(formatter, "  {object}")?;
        }
        write!(formatter, "  {}", self.message)
    }
}

/// What the files come to.
#[derive(Default)]
pub struct Admitted {
    /// Resources to accept, with uid, generation and former status.
    pub app_credentials: Vec<AppCredential>,
    /// The same.
    pub webhooks: Vec<Webhook>,
    /// The same.
    pub webhook_credentials: Vec<WebhookCredential>,
    /// Secrets and namespaces.
    pub declared: Declared,
    /// Resources that the files name, accepted or not.
    pub named: BTreeSet<Named>,
    /// Files with a mistake: what cannot be found there any more may still be meant.
    pub broken: BTreeSet<String>,
    /// Everything that was refused.
    pub complaints: BTreeSet<Complaint>,
    /// Documents of kinds that are not for Snaphook.
    pub ignored: BTreeSet<String>,
}

/// Admits what is in the files. Keeps the last good Secrets, as they are stored nowhere.
#[derive(Default)]
pub struct Admission {
    services: bool,
    secrets: BTreeMap<String, Declared>,
}

/// One look at all files.
struct Look<'a> {
    checkers: &'a Checkers,
    resources: &'a Resources,
    now: Timestamp,
    services: bool,
    admitted: Admitted,
    file: &'a str,
}

impl Admission {
    /// Webhooks may name Services: the resources are meant for a cluster, which has some.
    #[must_use]
    pub fn with_services() -> Self {
        Self { services: true, ..Self::default() }
    }

    /// Looks at every document.
    pub fn admit(
        &mut self,
        manifests: &Manifests,
        checkers: &Checkers,
        resources: &Resources,
        now: Timestamp,
    ) -> Admitted {
        let services = self.services;
        let mut look = Look { checkers, resources, now, services, admitted: Admitted::default(), file: "" };
        let mut by_file = BTreeMap::new();
        for (file, parsed) in manifests.files() {
            look.file = file;
            look.file(parsed);
            let found = std::mem::take(&mut look.admitted.declared);
            let former = self.secrets.remove(file).filter(|_| look.admitted.broken.contains(file));
            by_file.insert(file.to_owned(), merged(former.unwrap_or_default(), found));
        }
        self.secrets = by_file;
        let declared = self.secrets.values().cloned().reduce(merged);
        Admitted { declared: declared.unwrap_or_default(), ..look.admitted }
    }
}

fn merged(mut first: Declared, second: Declared) -> Declared {
    first.secrets.extend(second.secrets);
    first.namespaces.extend(second.namespaces);
    first
}

impl Look<'_> {
    fn file(&mut self, parsed: &Parsed) {
        match parsed {
            Ok(documents) => documents.iter().for_each(|document| self.document(document)),
            Err(error) => self.complain(error.line, None, error.message.clone()),
        }
    }

    fn document(&mut self, document: &Document) {
        let text = |field: &str| document.value.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        match (api_version, kind) {
            (API_VERSION, AppCredential::KIND) => {
                let found = self.resource(document, &self.checkers.app_credential);
                self.admitted.app_credentials.extend(found);
            }
            (API_VERSION, Webhook::KIND) => {
                let found = self.resource(document, &self.checkers.webhook);
                let found = found.filter(|webhook| self.has_url(document, webhook));
                self.admitted.webhooks.extend(found);
            }
            (API_VERSION, WebhookCredential::KIND) => {
                let found = self.resource(document, &self.checkers.webhook_credential);
                self.admitted.webhook_credentials.extend(found);
            }
            ("v1", "Secret") => self.secret(document),
            ("v1", "Namespace") => self.namespace(document),
            ("", _) | (_, "") => {
                let message = "apiVersion, kind: Required value: a resource begins with both".into();
                self.complain(document.line(&Place::default()), None, message);
            }
            (_, AppCredential::KIND | Webhook::KIND | WebhookCredential::KIND) => {
                let place = Place::default().child("apiVersion");
                self.complain(document.line(&place), None, format!("apiVersion: of {kind} is {API_VERSION}"));
            }
            _ if api_version.split_once('/').is_some_and(|(group, _)| group == GROUP) => {
                let place = Place::default().child("kind");
                let known = [AppCredential::KIND, Webhook::KIND, WebhookCredential::KIND].join(", ");
                let message = format!("kind: {API_VERSION} has no kind {kind:?}; known are {known}");
                self.complain(document.line(&place), None, message);
            }
            ("v1", "List") => {
                let message = "kind: a List is not read here; write each of its items as a document".into();
                self.complain(document.line(&Place::default()), None, message);
            }
            _ => {
                let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
                self.admitted.ignored.insert(format!("{}  {kind} {name}", self.file));
            }
        }
    }

    fn resource<K: Kind>(&mut self, document: &Document, checker: &Checker) -> Option<K>
    where
        Resources: Of<K>,
    {
        let mut value = document.value.clone();
        let key = identify(&mut value);
        let name = key.as_ref().map(|key| label(K::KIND, key));
        if let Some(key) = &key
            && !self.admitted.named.insert((K::KIND, key.clone()))
        {
            let message =
                format!("metadata.name: another document declares this {} as well; keep one of them", K::KIND);
            self.complain(document.line(&Place::parse("metadata.name")), name, message);
            return None;
        }
        let stored: Option<K> = key.as_ref().and_then(|key| self.resources.of().get(key).cloned());
        let old = stored.as_ref().and_then(|stored| serde_json::to_value(stored).ok());
        let problems = checker.check(&value, old.as_ref());
        for problem in &problems {
            self.complain(document.line(&field_of(problem)), name.clone(), problem.to_string());
        }
        if !problems.is_empty() {
            return None;
        }
        let Ok(resource) = serde_json::from_value(value) else {
            self.complain(document.line(&Place::default()), name, "does not fit the schema".into());
            return None;
        };
        Some(admitted(resource, stored.as_ref(), self.file, self.now))
    }

    /// There are no Services without a cluster.
    fn has_url(&mut self, document: &Document, webhook: &Webhook) -> bool {
        if self.services || webhook.spec.delivery.service.is_none() {
            return true;
        }
        let place = Place::parse("spec.delivery.service");
        let message =
            format!("{place}: there are no Services here; write spec.delivery.url, such as http://127.0.0.1:9000/");
        self.complain(document.line(&place), Some(label(Webhook::KIND, &objects::key(webhook))), message);
        false
    }

    fn secret(&mut self, document: &Document) {
        match secret::read(&document.value, DEFAULT_NAMESPACE) {
            Ok((key, secret)) => {
                self.admitted.declared.secrets.insert(key, secret);
            }
            Err(problems) => {
                for problem in problems {
                    self.complain(document.line(&problem.place), Some("Secret".into()), problem.to_string());
                }
            }
        }
    }

    /// The policy may ask for its labels.
    fn namespace(&mut self, document: &Document) {
        let metadata = document.value.get("metadata");
        let Some(name) = metadata.and_then(|metadata| metadata.get("name")?.as_str()) else { return };
        let labels = metadata.and_then(|metadata| metadata.get("labels")?.as_object());
        let labels = labels.into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        self.admitted.declared.namespaces.insert(name.to_owned(), labels);
    }

    fn complain(&mut self, line: Option<u64>, object: Option<String>, message: String) {
        self.admitted.broken.insert(self.file.to_owned());
        self.admitted.complaints.insert(Complaint { file: self.file.to_owned(), line, object, message });
    }
}

/// Fills in the namespace. Which resource it is, if that can be told.
fn identify(value: &mut Value) -> Option<Key> {
    let metadata = value.get_mut("metadata")?.as_object_mut()?;
    let namespace = metadata.entry("namespace").or_insert_with(|| DEFAULT_NAMESPACE.into());
    let namespace = namespace.as_str()?.to_owned();
    Some((namespace, metadata.get("name")?.as_str()?.to_owned()))
}

/// The field that a rule names in its message is nearer than the one that the rule lies at.
fn field_of(problem: &Problem) -> Place {
    let named = problem.message.split(':').next().unwrap_or_default();
    let is_field = named.starts_with("spec.") || named.starts_with("metadata.");
    if is_field && !named.contains(' ') { Place::parse(named) } else { problem.place.clone() }
}

/// As the API server would store it: what it hands out itself comes from the stored one.
fn admitted<K: Kind>(mut resource: K, stored: Option<&K>, file: &str, now: Timestamp) -> K {
    let same_spec = stored.is_some_and(|stored| spec(stored) == spec(&resource));
    let generation = stored.and_then(|stored| stored.meta().generation).unwrap_or_default();
    *resource.status_mut() = stored.and_then(|stored| stored.status().cloned());
    let metadata = resource.meta_mut();
    metadata.uid = stored.and_then(|stored| stored.meta().uid.clone()).or_else(|| Some(uuid()));
    metadata.creation_timestamp =
        stored.and_then(|stored| stored.meta().creation_timestamp.clone()).or(Some(Time(now)));
    metadata.generation = Some(if same_spec { generation } else { generation + 1 });
    metadata.finalizers = stored.and_then(|stored| stored.meta().finalizers.clone());
    metadata.owner_references = None;
    metadata.deletion_timestamp = None;
    metadata.managed_fields = None;
    metadata.resource_version = None;
    objects::set_file(&mut resource, file);
    resource
}

fn spec<K: Kind>(resource: &K) -> Option<Value> {
    serde_json::to_value(resource).ok()?.get_mut("spec").map(Value::take)
}

/// RFC 9562, version 4.
fn uuid() -> String {
    let mut bytes = crate::random::bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A resource, for people. The kind that most have needs no mention.
#[must_use]
pub fn label(kind: &str, (namespace, name): &Key) -> String {
    if kind == AppCredential::KIND { format!("{namespace}/{name}") } else { format!("{kind} {namespace}/{name}") }
}
