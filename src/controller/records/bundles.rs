//! Flow 1, steps 1 and 4: records of a namespace with a realm of its own, together in a few Secrets.
//!
//! Runs over many resources write at once. Whoever comes first writes for all who wait, so there is one writer at a time, and a
//! thousand new records cost a fraction of a thousand writes. What was written is kept in memory: a look at one record must not fetch
//! megabytes. Each write has the uid and the resource version as preconditions, and what a watch tells of changes by others has everything
//! read anew, so memory is never trusted where it could be wrong.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _, api::Patch, runtime::reflector::ObjectRef};
use tokio::sync::oneshot;

use super::{
    Entry, Found, Id, Place, RECORD, Stored,
    layout::{self, Change, Data, Edit, Layout, Move, Refusal},
    own::unchanged,
};
use crate::{
    controller::{
        api::{call, call_opt, create_params, merge_params},
        apply::ApplyError,
        fetch::{self, ObjectVersion},
        secrets,
        watches::Cache,
    },
    record::{self, Kind, bundle},
};

/// The bundles of one namespace.
pub struct Bundles {
    api: Api<Secret>,
    namespace: String,
    /// How many there may be. Absent where the namespace has no realm of its own any more.
    limit: Option<u8>,
    cache: Cache<Secret>,
    waiting: Mutex<Vec<Waiting>>,
    image: tokio::sync::Mutex<Image>,
}

struct Waiting {
    change: Change,
    answer: oneshot::Sender<Result<(), ApplyError>>,
}

/// What is known of the bundles.
#[derive(Default)]
struct Image {
    /// Absent until it was read, and after a write that may have failed.
    layout: Option<Layout>,
    /// Of those that exist.
    versions: BTreeMap<u8, ObjectVersion>,
    /// The resource versions that the watch had told when it was last asked.
    told: BTreeMap<u8, String>,
}

impl Bundles {
    pub(super) fn new(client: Client, namespace: &str, limit: Option<u8>, cache: Cache<Secret>) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            limit,
            cache,
            waiting: Mutex::default(),
            image: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Those that may hold something, in their order: also more than are allowed now.
    fn indices(&self) -> Range<u8> {
        let allowed = self.limit.unwrap_or_default();
        let beyond = (allowed..bundle::MAX_COUNT).rev().find(|index| self.in_cache(*index).is_some());
        0..beyond.map_or(allowed, |index| index + 1)
    }

    fn in_cache(&self, index: u8) -> Option<Arc<Secret>> {
        let found = self.cache.get(&ObjectRef::new(&bundle::name(index)).within(&self.namespace));
        found.filter(|secret| secret.type_.as_deref() == Some(record::SECRET_TYPE))
    }

    pub(super) fn cached(&self, id: &Id) -> Option<Stored> {
        let file = id.file();
        let secrets = self.indices().rev().filter_map(|index| self.in_cache(index));
        let mut found = secrets.filter_map(|secret| fetch::data(&secret).get(&file).cloned());
        found.next().map(stored)
    }

    pub(super) fn found(self: Arc<Self>) -> Vec<Found> {
        let secrets: Vec<_> = self.indices().filter_map(|index| self.in_cache(index)).collect();
        let files = secrets.iter().flat_map(|secret| fetch::data(secret));
        let records = files.filter_map(|(file, json)| {
            let (kind, name) = record::parse_file_name(file).filter(|(kind, _)| *kind != Kind::SigningKeys)?;
            let (place, id) = (Place::Bundled(self.clone()), Id { kind, name: name.to_owned() });
            Some(Found { place, of_namespace: Some(self.namespace.clone()), id, stored: stored(json.clone()) })
        });
        records.collect()
    }

    pub(super) async fn read(&self, id: &Id) -> Result<Option<Stored>, ApplyError> {
        let mut image = self.image.lock().await;
        let layout = self.up_to_date(&mut image).await?;
        Ok(layout.get(&id.file()).map(|(_, json)| stored(json.clone())))
    }

    pub(super) async fn write(&self, entry: &Entry, seen: Option<&ObjectVersion>) -> Result<ObjectVersion, ApplyError> {
        let Entry { id, source: _, json } = entry;
        self.change(Change::Put { file: id.file(), json: json.clone(), seen: seen.cloned() }).await?;
        Ok(layout::version(json))
    }

    pub(super) async fn delete(&self, id: &Id, seen: &ObjectVersion) -> Result<(), ApplyError> {
        self.change(Change::Remove { file: id.file(), seen: seen.clone() }).await?;
        self.end_if_empty().await
    }

    async fn change(&self, change: Change) -> Result<(), ApplyError> {
        let (answer, answered) = oneshot::channel();
        self.lock_waiting().push(Waiting { change, answer });
        let mut image = self.image.lock().await;
        let waiting = mem::take(&mut *self.lock_waiting());
        if !waiting.is_empty() {
            self.commit(&mut image, waiting).await;
        }
        drop(image);
        // Nobody answers where the run that wrote for this one was ended in the middle.
        answered.await.unwrap_or_else(|_| Err(changed()))
    }

    async fn commit(&self, image: &mut Image, waiting: Vec<Waiting>) {
        let layout = match self.up_to_date(image).await {
            Ok(layout) => layout,
            Err(error) => return waiting.into_iter().for_each(|waiting| answer(waiting.answer, Err(error.again()))),
        };
        let results: Vec<_> =
            waiting.into_iter().map(|waiting| (waiting.answer, layout.apply(waiting.change))).collect();
        let failures = self.write_edits(image).await;
        for (to, result) in results {
            let result = match result {
                Ok(written) => {
                    written.iter().find_map(|index| failures.get(index)).map_or(Ok(()), |it| Err(it.again()))
                }
                Err(Refusal::Changed) => Err(changed()),
                Err(Refusal::NoRoom) => Err(self.no_room()),
            };
            answer(to, result);
        }
    }

    fn no_room(&self) -> ApplyError {
        let (namespace, count) = (&self.namespace, self.limit.unwrap_or_default());
        ApplyError::Unusable {
            object: format!("the realm of namespace {namespace}"),
            message: format!(
                "its {count} Secrets of records are full: delete resources, or raise `bundles` of the realm in the operator's configuration and in the Pods"
            ),
        }
    }

    /// Reads everything where it was not read yet, or somebody else has changed something.
    async fn up_to_date<'a>(&self, image: &'a mut Image) -> Result<&'a mut Layout, ApplyError> {
        if self.has_news(image) || image.layout.is_none() {
            image.layout = None;
            let layout = self.load(image).await?;
            image.layout = Some(layout);
            if let Some(error) = self.write_edits(image).await.into_values().next() {
                return Err(error);
            }
        }
        image.layout.as_mut().ok_or_else(changed)
    }

    /// Whether the watch tells of something that is not our own doing.
    fn has_news(&self, image: &mut Image) -> bool {
        let mut news = false;
        for index in self.indices() {
            let told = self.in_cache(index).and_then(|secret| secret.resource_version());
            let known = image.versions.get(&index).map(|version| version.resource_version.as_str());
            news |= is_news(told.as_deref(), image.told.get(&index).map(String::as_str), known);
            match told {
                Some(told) => drop(image.told.insert(index, told)),
                None => drop(image.told.remove(&index)),
            }
        }
        news
    }

    async fn load(&self, image: &mut Image) -> Result<Layout, ApplyError> {
        let indices = self.indices();
        let secrets = try_join_all(indices.clone().map(async |index| {
            let name = bundle::name(index);
            let object = format!("the Secret {name}");
            let found = call_opt(&object, self.api.get(&name)).await?;
            match found {
                Some(secret) if secret.type_.as_deref() != Some(record::SECRET_TYPE) => Err(ApplyError::Unusable {
                    object,
                    message: format!(
                        "it is not of type {}: delete it, a Secret's type cannot change",
                        record::SECRET_TYPE
                    ),
                }),
                found => Ok(found),
            }
        }))
        .await?;
        let versions = indices.clone().zip(&secrets).filter_map(|(index, found)| Some((index, found.as_ref()?)));
        image.versions = versions.map(|(index, secret)| (index, ObjectVersion::of(secret))).collect();
        let wanted = secrets::bundle_labels(&self.namespace);
        let unlabelled = |secret: &Secret| wanted.iter().any(|(key, value)| secret.labels().get(key) != Some(value));
        let without: Vec<u8> =
            indices.zip(&secrets).filter(|(_, it)| it.as_ref().is_some_and(unlabelled)).map(|it| it.0).collect();
        let data: Vec<Data> = secrets.into_iter().map(|it| it.and_then(|it| it.data).unwrap_or_default()).collect();
        let mut layout = Layout::new(data, self.limit.unwrap_or_default().into());
        for index in without {
            layout.touch(index);
        }
        Ok(layout)
    }

    /// Writes what the layout has changed. What failed, by bundle; then everything is read anew before it is trusted again.
    async fn write_edits(&self, image: &mut Image) -> BTreeMap<u8, ApplyError> {
        let Some((edits, moves)) = image.layout.as_mut().map(Layout::take_edits) else { return BTreeMap::new() };
        let versions = &image.versions;
        let writes = edits.into_iter().map(async |(index, edit)| {
            let written = self.write_bundle(index, edit, versions.get(&index)).await;
            (index, written)
        });
        let mut failures = BTreeMap::new();
        for (index, written) in join_all(writes).await {
            note(image, &mut failures, index, written);
        }
        for next in moves {
            self.carry_over(image, &mut failures, next).await;
        }
        if !failures.is_empty() {
            image.layout = None;
        }
        failures
    }

    async fn carry_over(&self, image: &mut Image, failures: &mut BTreeMap<u8, ApplyError>, next: Move) {
        let Move { file, json, from, to } = &next;
        for (index, json) in [(*to, Some(json.clone())), (*from, None)] {
            if failures.contains_key(to) || failures.contains_key(from) {
                return;
            }
            let edit = Edit::from([(file.clone(), json)]);
            let written = self.write_bundle(index, edit, image.versions.get(&index)).await;
            note(image, failures, index, written);
        }
        if let Some(layout) = &mut image.layout {
            layout.moved(next);
        }
    }

    async fn write_bundle(
        &self,
        index: u8,
        edit: Edit,
        seen: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion, ApplyError> {
        let name = bundle::name(index);
        let object = format!("the Secret {name}");
        let Some(seen) = seen else {
            let data = edit.into_iter().filter_map(|(file, json)| Some((file, json?))).collect();
            let secret = secrets::bundle(&name, &self.namespace, data);
            return call(&object, self.api.create(&create_params(), &secret)).await.map(|it| ObjectVersion::of(&it));
        };
        let patch = Patch::Merge(secrets::bundle_patch(&self.namespace, &edit, seen));
        // The answer need not hold a megabyte of what was sent.
        let written = call(&object, self.api.patch_metadata(&name, &merge_params(), &patch)).await?;
        Ok(ObjectVersion::of(&written))
    }

    /// A namespace that has no realm of its own any more keeps its keys until the last record has moved.
    pub(super) async fn end_if_empty(&self) -> Result<(), ApplyError> {
        if self.limit.is_some() {
            return Ok(());
        }
        let mut image = self.image.lock().await;
        if self.up_to_date(&mut image).await?.has_records() {
            return Ok(());
        }
        image.layout = None;
        for (index, version) in mem::take(&mut image.versions) {
            let name = bundle::name(index);
            let object = format!("the Secret {name}");
            call_opt(&object, self.api.delete(&name, &unchanged(&version))).await?;
            tracing::info!(namespace = self.namespace, name, "the namespace has no realm of its own any more");
        }
        Ok(())
    }

    fn lock_waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(
    image: &mut Image,
    failures: &mut BTreeMap<u8, ApplyError>,
    index: u8,
    written: Result<ObjectVersion, ApplyError>,
) {
    match written {
        Ok(version) => drop(image.versions.insert(index, version)),
        Err(error) => drop(failures.insert(index, error)),
    }
}

fn stored(json: k8s_openapi::ByteString) -> Stored {
    Stored { version: layout::version(&json), json }
}

fn changed() -> ApplyError {
    ApplyError::Conflict { object: RECORD.into() }
}

/// Who asked may have gone.
fn answer(to: oneshot::Sender<Result<(), ApplyError>>, result: Result<(), ApplyError>) {
    drop(to.send(result));
}

/// Whether what the watch tells of a bundle is not our own doing. `before` is what it told when it was last asked.
fn is_news(told: Option<&str>, before: Option<&str>, known: Option<&str>) -> bool {
    match told {
        Some(told) => before != Some(told) && known.is_none_or(|known| is_later(told, known)),
        // Deleted, or so new that the watch has not told of it: that looks the same.
        None => before.is_some() || known.is_some(),
    }
}

/// Resource versions are numbers that grow; what is no number is looked at.
fn is_later(told: &str, known: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(told).zip(number(known)).is_none_or(|(told, known)| told > known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_trusted_only_where_the_watch_agrees() {
        let cases = [
            ((None, None, None), false, "there is none"),
            ((Some("5"), None, Some("5")), false, "our own write"),
            ((Some("5"), Some("5"), Some("7")), false, "the watch is behind our own write"),
            ((Some("5"), Some("4"), Some("7")), false, "and comes nearer"),
            ((Some("8"), Some("7"), Some("7")), true, "somebody else has written"),
            ((Some("5"), None, None), true, "somebody else has made it"),
            ((None, Some("7"), Some("7")), true, "deleted"),
            ((None, None, Some("7")), true, "deleted before the watch was asked again"),
        ];
        for ((told, before, known), news, what) in cases {
            assert_eq!(is_news(told, before, known), news, "{what}");
        }
    }
}
