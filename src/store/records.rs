//! Flow 2, pure: the records as their source last told them, from which a snapshot is made.
//!
//! It fails closed: a record that cannot be used is not served, nor is the older one in its place, and of two records
//! that claim the same thing neither is. All others go on.

mod content;

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use self::content::{Content, Given};
pub use self::content::{Document, Problem, Refusal};
use super::{
    snapshot::{Counts, Needs, Snapshot},
    url_hash::UrlHash,
};
use crate::{inbound::Endpoint, record::bundle};

/// Every record, by where it lies: a *source* is a Secret or a directory, and holds one or more records, each under a *key*.
///
/// Parsed records are kept from one snapshot to the next; only those that changed are parsed.
#[derive(Debug)]
pub struct Records {
    needs: Needs,
    sources: HashMap<Box<str>, Source>,
    /// Counts the complete lists, to find the sources that the latest one did not name.
    list: u64,
    /// Nothing to publish. False until the first snapshot.
    unchanged: bool,
    /// A key may be in two sources for a moment: see [`Self::of_bundles`].
    bundled: bool,
    ambiguous: BTreeSet<Ambiguity>,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Source {
    list: u64,
    /// Ordered by key.
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    key: Box<str>,
    given: Given,
    content: Content,
}

/// Something that more than one record claims.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ambiguity {
    /// A client id.
    ClientId(Box<str>),
    /// To be the realm's signing keys.
    SigningKeys,
    /// To be made from a `Webhook`: `<namespace>/<name>`.
    Endpoint(Box<str>),
    /// An id in `/hooks/{id}`, known by its hash alone.
    Url(UrlHash),
    /// To be made from a `WebhookCredential`: `<namespace>/<name>`.
    Injection(Box<str>),
}

/// What the operator should hear of, once, when it comes to be. Never holds a part of a record but its client id.
#[derive(Debug)]
pub enum Notice {
    /// A record is not served.
    Unusable {
        /// The Secret's or directory's name.
        source: Box<str>,
        /// The record's key in it.
        key: Box<str>,
        /// Why.
        problem: Problem,
    },
    /// A record that was not served is well again.
    Usable {
        /// The Secret's or directory's name.
        source: Box<str>,
        /// The record's key in it.
        key: Box<str>,
    },
    /// Neither of several records is served.
    Ambiguous(Ambiguity),
}

impl Records {
    /// Those that are needed.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        Self {
            needs,
            sources: HashMap::new(),
            list: 0,
            unchanged: false,
            bundled: false,
            ambiguous: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// Those in bundles. A record moves from one to another by being in both for a moment, and then the one in the later bundle counts.
    #[must_use]
    pub fn of_bundles(needs: Needs) -> Self {
        Self { bundled: true, ..Self::new(needs) }
    }

    /// Takes over what a source holds now; whatever else it held is gone.
    pub fn set<'a>(&mut self, source: &str, documents: impl IntoIterator<Item = Document<'a>>) {
        let old = self.sources.remove(source).map(|source| source.records).unwrap_or_default();
        let mut records: Vec<Record> =
            documents.into_iter().map(|document| self.renew(source, find(&old, document.key), &document)).collect();
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.unchanged &= old.len() == records.len();
        self.sources.insert(source.into(), Source { list: self.list, records });
    }

    /// Forgets a source that is gone.
    pub fn remove(&mut self, source: &str) {
        self.unchanged &= self.sources.remove(source).is_none();
    }

    /// Begins a complete list: the sources that are not [set](Self::set) before [`Self::finish_list`] are gone then.
    ///
    /// Until then the set is a mixture; make no snapshot of it. A list that fails is simply begun again.
    pub fn begin_list(&mut self) {
        self.list += 1;
    }

    /// Ends a complete list.
    pub fn finish_list(&mut self) {
        let before = self.sources.len();
        self.sources.retain(|_, source| source.list == self.list);
        self.unchanged &= self.sources.len() == before;
    }

    /// A snapshot of the records as they are, if they changed since the last one.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        if mem::replace(&mut self.unchanged, true) {
            return None;
        }
        let mut snapshot = Snapshot::default();
        let mut ambiguous = BTreeSet::new();
        let records = || {
            let of_sources =
                self.sources.iter().flat_map(|(name, source)| source.records.iter().map(move |it| (name, it)));
            let needed = of_sources.filter(|(_, record)| !matches!(record.content, Content::Unneeded));
            needed.filter(|(name, record)| !self.has_moved(name, &record.key)).map(|(_, record)| record)
        };
        snapshot.clients.reserve(self.sources.len());
        ambiguous.extend(records().flat_map(|record| add(&mut snapshot, &record.content)));
        for ambiguity in &ambiguous {
            withdraw(&mut snapshot, ambiguity);
        }
        snapshot.counts = count(&snapshot, records().count());
        self.notices.extend(ambiguous.difference(&self.ambiguous).cloned().map(Notice::Ambiguous));
        self.ambiguous = ambiguous;
        Some(snapshot)
    }

    /// What came to be since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        mem::take(&mut self.notices)
    }

    fn has_moved(&self, source: &str, key: &str) -> bool {
        let is_later = |other: &str| bundle::index_of(other) > bundle::index_of(source);
        let mut sources = self.sources.iter();
        self.bundled && sources.any(|(other, it)| is_later(other) && find(&it.records, key).is_some())
    }

    fn renew(&mut self, source: &str, old: Option<&Record>, document: &Document<'_>) -> Record {
        let (key, given) = (document.key.into(), document.given());
        if let Some(old) = old.filter(|old| old.given == given) {
            return Record { key, given, content: old.content.clone() };
        }
        self.unchanged = false;
        let content = document.content.map_err(Problem::from).and_then(|(kind, json)| {
            if self.needs.has(kind) { Content::parse(kind, json) } else { Ok(Content::Unneeded) }
        });
        let content = content.unwrap_or_else(|problem| {
            self.notices.push(Notice::Unusable { source: source.into(), key: document.key.into(), problem });
            Content::Unusable
        });
        if old.is_some_and(|old| !old.content.is_usable()) && content.is_usable() {
            self.notices.push(Notice::Usable { source: source.into(), key: document.key.into() });
        }
        Record { key, given, content }
    }
}

fn find<'a>(records: &'a [Record], key: &str) -> Option<&'a Record> {
    records.binary_search_by(|record| (*record.key).cmp(key)).ok().map(|index| &records[index])
}

/// Adds a record, and tells what it now claims together with another.
fn add(snapshot: &mut Snapshot, content: &Content) -> Vec<Ambiguity> {
    match content {
        Content::Client(client) => {
            let other = snapshot.clients.insert(client.id().into(), client.clone());
            other.map(|other| Ambiguity::ClientId(other.id().into())).into_iter().collect()
        }
        Content::SigningKeys(keys) => {
            snapshot.keys.replace(keys.clone()).map(|_| Ambiguity::SigningKeys).into_iter().collect()
        }
        Content::Endpoint(endpoint) => add_endpoint(snapshot, endpoint),
        Content::Injection(injection) => {
            let name = injection.source.path();
            let other = snapshot.injections.insert(name.clone(), injection.clone());
            other.map(|_| Ambiguity::Injection(name)).into_iter().collect()
        }
        Content::Unneeded | Content::Unusable => Vec::new(),
    }
}

fn add_endpoint(snapshot: &mut Snapshot, endpoint: &Arc<Endpoint>) -> Vec<Ambiguity> {
    let name = endpoint.record().source.path();
    let mut ambiguous = Vec::new();
    if snapshot.endpoints.insert(name.clone(), endpoint.clone()).is_some() {
        ambiguous.push(Ambiguity::Endpoint(name));
    }
    for url in &endpoint.record().urls {
        let hash = UrlHash::of(url.id.expose());
        if snapshot.urls.insert(hash, endpoint.clone()).is_some_and(|other| !Arc::ptr_eq(&other, endpoint)) {
            ambiguous.push(Ambiguity::Url(hash));
        }
    }
    ambiguous
}

fn withdraw(snapshot: &mut Snapshot, ambiguity: &Ambiguity) {
    match ambiguity {
        Ambiguity::ClientId(id) => drop(snapshot.clients.remove(id)),
        Ambiguity::SigningKeys => snapshot.keys = None,
        Ambiguity::Endpoint(name) => {
            snapshot.endpoints.remove(name);
            snapshot.urls.retain(|_, endpoint| endpoint.record().source.path() != *name);
        }
        Ambiguity::Url(hash) => drop(snapshot.urls.remove(hash)),
        Ambiguity::Injection(name) => drop(snapshot.injections.remove(name)),
    }
}

fn count(snapshot: &Snapshot, records: usize) -> Counts {
    let Snapshot { clients, keys, endpoints, urls: _, injections, counts: _ } = snapshot;
    let (clients, signing_keys) = (clients.len(), usize::from(keys.is_some()));
    let (endpoints, injections) = (endpoints.len(), injections.len());
    let unusable = records - clients - signing_keys - endpoints - injections;
    Counts { clients, signing_keys, endpoints, injections, unusable }
}

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
