//! Flow 1, steps 1 and 4: where records are kept. The steps do not know: each record of the shared realm is a Secret of its own in that
//! realm's namespace, and those of a namespace with a realm of its own lie together in bundles there.
//!
//! A namespace that is listed in the configuration, or no longer, moves: a record is made where it belongs now, and what lies where it
//! belonged before is removed at the end of the same run. What was in the shared realm is what the run starts from. What was in a bundle is not:
//! whoever may write Secrets in the namespace may have put it there, and it must not count in a realm of others.

mod bundles;
mod layout;
mod own;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Client, ResourceExt as _};

pub(super) use self::own::unchanged;
pub use self::{
    bundles::Bundles,
    own::{OwnRecord, OwnSecrets},
};
use super::{
    apply::ApplyError,
    fetch::{self, Depth, ObjectVersion, StoredRecord},
    watches::{Cache, FormCache, Listed, Trigger},
};
use crate::{
    config::SidecarRealm,
    record::{self, Document, Kind, Source, bundle},
};

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// Of which kind it is.
    pub kind: Kind,
    /// The name of a Secret of its own.
    pub name: String,
}

impl Id {
    /// The record of kind `R` that is made from a resource.
    #[must_use]
    pub fn of<R: Document>(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: R::KIND, name: record::secret_name(kind, namespace, name) }
    }

    /// Its key in a bundle.
    #[must_use]
    pub fn file(&self) -> String {
        record::file_name(self.kind, &self.name)
    }
}

/// A record to be written.
#[derive(Clone)]
pub struct Entry {
    /// Which.
    pub id: Id,
    /// What it is made from.
    pub source: Option<Source>,
    /// The document.
    pub json: ByteString,
}

impl Entry {
    /// The record that a document is.
    ///
    /// # Errors
    /// A document that JSON cannot hold.
    pub fn of<R: Document>(document: &R) -> Result<Self, ApplyError> {
        let source = document.source();
        let id = Id::of::<R>(&source.kind, &source.namespace, &source.name);
        Self::new(id, Some(source.clone()), document)
    }

    /// A record.
    ///
    /// # Errors
    /// A document that JSON cannot hold.
    pub fn new<T: serde::Serialize>(id: Id, source: Option<Source>, document: &T) -> Result<Self, ApplyError> {
        let json = serde_json::to_vec(document)
            .map_err(|error| ApplyError::Unreachable { object: RECORD.into(), source: error.into() })?;
        Ok(Self { id, source, json: ByteString(json) })
    }
}

/// As errors name it.
const RECORD: &str = "the record";

/// A record as it is stored.
#[derive(Clone)]
pub struct Stored {
    /// The document.
    pub json: ByteString,
    /// What a write needs to find it unchanged.
    pub version: ObjectVersion,
}

/// One of the ways to keep records.
#[derive(Clone)]
pub enum Place {
    /// A Secret for each.
    Own(Arc<OwnSecrets>),
    /// Together.
    Bundled(Arc<Bundles>),
}

impl Place {
    /// Looks at what the watches have told.
    #[must_use]
    pub fn cached(&self, id: &Id) -> Option<Stored> {
        match self {
            Self::Own(secrets) => secrets.cached(id),
            Self::Bundled(bundles) => bundles.cached(id),
        }
    }

    /// Looks at what is there.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn read(&self, id: &Id) -> Result<Option<Stored>, ApplyError> {
        match self {
            Self::Own(secrets) => secrets.read(id).await,
            Self::Bundled(bundles) => bundles.read(id).await,
        }
    }

    /// Where a record lies, for people.
    #[must_use]
    pub fn describe(&self, id: &Id) -> String {
        match self {
            Self::Own(_) => format!("the Secret {}", id.name),
            Self::Bundled(bundles) => format!("{} in the Secrets of records in {}", id.file(), bundles.namespace()),
        }
    }

    /// Makes a record that does not exist yet, or changes one that is still as it was seen.
    ///
    /// # Errors
    /// It exists, has changed, or could not be written.
    pub async fn write(&self, entry: &Entry, seen: Option<&ObjectVersion>) -> Result<ObjectVersion, ApplyError> {
        match self {
            Self::Own(secrets) => secrets.write(entry, seen).await,
            Self::Bundled(bundles) => bundles.write(entry, seen).await,
        }
    }

    /// Removes a record that is still as it was seen. Returns whether it was there.
    ///
    /// # Errors
    /// It has changed, or could not be removed.
    pub async fn delete(&self, id: &Id, seen: &ObjectVersion) -> Result<bool, ApplyError> {
        match self {
            Self::Own(secrets) => secrets.delete(id, seen).await,
            Self::Bundled(bundles) => bundles.delete(id, seen).await.map(|()| true),
        }
    }
}

/// What the watches know of records.
#[derive(Clone)]
pub struct RecordCaches {
    /// Those in the shared realm.
    pub own: FormCache<OwnRecord>,
    /// Bundles in other namespaces.
    pub bundles: Cache<Secret>,
}

impl RecordCaches {
    /// Whether each was filled.
    #[must_use]
    pub fn listed(&self) -> [&Listed; 2] {
        [self.own.listed(), self.bundles.listed()]
    }

    /// Every record of a kind in which a text is found, such as an id: few are parsed for it.
    #[must_use]
    pub fn documents_with<R: Document>(&self, text: &str) -> Vec<R> {
        let parse = |json: &ByteString| {
            let found = str::from_utf8(&json.0).is_ok_and(|json| json.contains(text));
            found.then(|| record::parse(&json.0).ok()).flatten()
        };
        let (own, bundles) = (self.own.all_kept(), self.bundles.state());
        let own = own.iter().filter(|kept| kept.form.kind == Some(R::KIND)).map(|kept| &kept.form.stored.json);
        let files = bundles.iter().flat_map(|secret| fetch::data(secret));
        let in_bundles = files.filter(|(file, _)| record::kind_of_file(file) == Some(R::KIND)).map(|(_, json)| json);
        own.chain(in_bundles).filter_map(parse).collect()
    }
}

/// The records of the resources of one namespace, or of all.
pub struct Records {
    own: Arc<OwnSecrets>,
    caches: RecordCaches,
    client: Client,
    /// How many bundles each namespace that is listed may have.
    listed: BTreeMap<String, u8>,
    /// Whoever writes to the bundles of a namespace waits for the others.
    bundles: Mutex<HashMap<String, Arc<Bundles>>>,
}

impl Records {
    /// The shared realm is in `shared`, and others in the namespaces that `realms` lists.
    #[must_use]
    pub fn new(client: Client, shared: &str, realms: &[SidecarRealm], caches: RecordCaches) -> Self {
        let own = Arc::new(OwnSecrets::new(client.clone(), shared, caches.own.clone()));
        let listed = realms.iter().map(|realm| (realm.namespace.clone(), realm.bundles)).collect();
        Self { own, caches, client, listed, bundles: Mutex::default() }
    }

    /// The realm of the namespaces that are not listed.
    #[must_use]
    pub fn shared(&self) -> Place {
        Place::Own(self.own.clone())
    }

    /// What the watches know.
    #[must_use]
    pub fn caches(&self) -> &RecordCaches {
        &self.caches
    }

    /// Where the records of a namespace belong.
    #[must_use]
    pub fn place(&self, namespace: &str) -> Place {
        if self.listed.contains_key(namespace) { Place::Bundled(self.bundles(namespace)) } else { self.shared() }
    }

    /// Where the record of a resource may lie from before. Nobody adds to it any more, so what the watches listed is all of it.
    fn former_place(&self, namespace: &str, id: &Id) -> Option<Place> {
        if self.listed.contains_key(namespace) {
            return self.own.has(id).then(|| self.shared());
        }
        if self.caches.bundles.is_empty() {
            return None;
        }
        let bundles = self.bundles(namespace);
        bundles.cached(id).map(|_| Place::Bundled(bundles))
    }

    fn bundles(&self, namespace: &str) -> Arc<Bundles> {
        let mut all = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let limit = self.listed.get(namespace).copied();
            Arc::new(Bundles::new(self.client.clone(), namespace, limit, self.caches.bundles.clone()))
        };
        all.entry(namespace.to_owned()).or_insert_with(new).clone()
    }

    /// The record of a resource; one that does not parse counts as lost.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn find<R: Document>(
        &self,
        namespace: &str,
        id: &Id,
        depth: Depth,
    ) -> Result<Option<StoredRecord<R>>, ApplyError> {
        if depth == Depth::Cached {
            return Ok(self.cached(namespace, id));
        }
        let here = self.place(namespace).read(id).await?;
        let Some(place) = self.former_place(namespace, id) else { return Ok(stored_record(here, None)) };
        let before = place.read(id).await?;
        Ok(stored_record(here, before.map(|stored| (place, stored))))
    }

    /// The record of a resource as the watches have told of it; one that does not parse counts as lost.
    #[must_use]
    pub fn cached<R: Document>(&self, namespace: &str, id: &Id) -> Option<StoredRecord<R>> {
        let former_place = self.former_place(namespace, id);
        let before = former_place.and_then(|place| place.cached(id).map(|stored| (place, stored)));
        stored_record(self.place(namespace).cached(id), before)
    }

    /// Removes the record that was made from the resource with this uid, wherever it lies.
    ///
    /// # Errors
    /// The API server did not say, or kept it.
    pub async fn delete<R: Document>(&self, namespace: &str, id: &Id, uid: &str) -> Result<(), ApplyError> {
        remove::<R>(&self.place(namespace), id, uid).await?;
        self.leave_former_place::<R>(namespace, id, uid).await
    }

    /// Removes the record from where it belonged before.
    ///
    /// # Errors
    /// The API server did not say, or kept it.
    pub async fn leave_former_place<R: Document>(&self, namespace: &str, id: &Id, uid: &str) -> Result<(), ApplyError> {
        match self.former_place(namespace, id) {
            Some(place) => remove::<R>(&place, id, uid).await,
            None => Ok(()),
        }
    }

    /// The records of a resource in the caches, wherever they lie.
    pub fn of(&self, resource: &Trigger) -> Vec<Found> {
        let Trigger { kind, namespace, name } = resource;
        let Some(kind) = Kind::made_from(kind) else { return Vec::new() };
        let id = Id { kind, name: record::secret_name(resource.kind, namespace, name) };
        let places = [Some(self.place(namespace)), self.former_place(namespace, &id)];
        let found = places.into_iter().flatten().filter_map(|place| {
            let stored = place.cached(&id)?;
            let of_namespace = matches!(place, Place::Bundled(_)).then(|| namespace.clone());
            Some(Found { place, of_namespace, id: id.clone(), stored })
        });
        found.collect()
    }

    /// Every record in the caches, with where it lies, for those who look for orphans. Also what somebody put into a bundle.
    pub fn all(&self) -> impl Iterator<Item = Found> {
        let own = self.caches.own.all_kept().into_iter().filter_map(|kept| self.own.clone().found(&kept));
        let bundles = self.caches.bundles.state();
        let namespaces = bundles.iter().filter(|secret| bundle::index_of(&secret.name_any()).is_some());
        let mut namespaces: Vec<_> = namespaces.filter_map(|secret| secret.namespace()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        own.chain(namespaces.into_iter().flat_map(|namespace| self.bundles(&namespace).found()))
    }

    /// Ends the bundles of namespaces that are no longer listed and have no record in them.
    ///
    /// # Errors
    /// The API server did not say, or kept one.
    pub async fn end_realms(&self) -> Result<(), ApplyError> {
        let all: Vec<_> = self.bundles.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for bundles in all {
            bundles.end_if_empty().await?;
        }
        Ok(())
    }
}

/// A record that was found without asking for it.
pub struct Found {
    /// Where it lies.
    pub place: Place,
    /// The only namespace whose records may lie there; absent: all.
    pub of_namespace: Option<String>,
    /// Which it is.
    pub id: Id,
    /// What it is.
    pub stored: Stored,
}

fn stored_record<R: Document>(here: Option<Stored>, before: Option<(Place, Stored)>) -> Option<StoredRecord<R>> {
    let left_behind = before.is_some();
    let version = here.as_ref().map(|stored| stored.version.clone());
    let of_operator = before.and_then(|(place, stored)| matches!(place, Place::Own(_)).then_some(stored));
    let document = here.or(of_operator).and_then(|stored| record::parse(&stored.json.0).ok());
    (version.is_some() || left_behind).then_some(StoredRecord { document, version, left_behind })
}

/// A cache that lags shows a resource that was deleted and made anew: the record is its successor's.
async fn remove<R: Document>(place: &Place, id: &Id, uid: &str) -> Result<(), ApplyError> {
    let Some(stored) = place.read(id).await? else { return Ok(()) };
    let of_another = |record: R| record.source().uid != uid;
    if record::parse(&stored.json.0).is_ok_and(of_another) {
        return Ok(());
    }
    place.delete(id, &stored.version).await.map(drop)
}
