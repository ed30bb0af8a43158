//! Flow 1: which records in a bundle an event is about: it brings all of them, and a change of one must not have thousands looked at.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::{Trigger, made_from};
use crate::controller::fetch;

/// The records in bundles as events last told of them.
#[derive(Default)]
pub(super) struct Told(HashMap<ObjectRef<Secret>, Records>);

type Records = HashMap<String, Record>;

struct Record {
    hash: u64,
    source: Option<Trigger>,
}

impl Told {
    /// The resources whose records came, changed or went. What somebody put there of another namespace concerns nobody.
    pub(super) fn changed(&mut self, secret: &Secret, gone: bool) -> BTreeSet<Trigger> {
        let (object, namespace) = (ObjectRef::from_obj(secret), secret.namespace().unwrap_or_default());
        let mut before = self.0.remove(&object).unwrap_or_default();
        let (mut now, mut changed) = (Records::new(), BTreeSet::new());
        for (file, json) in fetch::data(secret).iter().filter(|_| !gone) {
            let record = renew(before.remove(file), json, &mut changed);
            now.insert(file.clone(), record);
        }
        changed.extend(before.into_values().filter_map(|record| record.source));
        if !gone {
            self.0.insert(object, now);
        }
        changed.retain(|source| source.namespace == namespace);
        changed
    }
}

fn renew(before: Option<Record>, json: &ByteString, changed: &mut BTreeSet<Trigger>) -> Record {
    let mut hasher = DefaultHasher::new();
    json.0.hash(&mut hasher);
    let hash = hasher.finish();
    if let Some(same) = before.as_ref().filter(|before| before.hash == hash) {
        return Record { hash, source: same.source.clone() };
    }
    let source = made_from(json);
    changed.extend(before.and_then(|before| before.source));
    changed.extend(source.clone());
    Record { hash, source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle(records: &[(&str, &str, &str)]) -> Secret {
        let record = |(name, namespace, more): &(&str, &str, &str)| {
            let source = json!({ "kind": "AppCredential", "namespace": namespace, "name": name, "uid": "1" });
            let json = json!({ "version": 1, "source": source, "more": more }).to_string();
            (format!("client.{name}.json"), ByteString(json.into_bytes()))
        };
        let mut secret = Secret { data: Some(records.iter().map(record).collect()), ..Secret::default() };
        secret.metadata.name = Some("snaphook-records-0".into());
        secret.metadata.namespace = Some("team".into());
        secret
    }

    fn names(changed: BTreeSet<Trigger>) -> Vec<String> {
        changed.into_iter().map(|trigger| trigger.name).collect()
    }

    #[test]
    fn an_event_is_about_what_came_changed_or_went() {
        let mut told = Told::default();
        let first = bundle(&[("a", "team", ""), ("b", "team", ""), ("c", "team", "")]);
        assert_eq!(names(told.changed(&first, false)), ["a", "b", "c"]);
        assert!(told.changed(&first, false).is_empty());
        let second = bundle(&[("a", "team", ""), ("b", "team", "new"), ("d", "team", "")]);
        assert_eq!(names(told.changed(&second, false)), ["b", "c", "d"]);
        assert_eq!(names(told.changed(&second, true)), ["a", "b", "d"]);
        assert_eq!(names(told.changed(&second, false)), ["a", "b", "d"]);
    }

    #[test]
    fn what_is_of_another_namespace_is_nobodys() {
        assert!(Told::default().changed(&bundle(&[("a", "other", "")]), false).is_empty());
    }
}
