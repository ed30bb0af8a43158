//! Flow 1: objects as watches parse them: without `metadata.managedFields`, which are much of their JSON and are not read here.

use std::{borrow::Cow, fmt};

use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, core::PartialObjectMeta};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use super::Guarded;

/// An object without its managed fields.
#[derive(Clone, Debug)]
pub struct Lean<K>(pub(super) K);

/// What can be parsed so.
pub(super) trait Parse: DeserializeOwned {
    /// Leaves the managed fields out.
    fn parse<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Skim::object(deserializer))
    }
}

impl Parse for Secret {}

impl Parse for PartialObjectMeta<Namespace> {}

/// One that is not of its kind's shape is still an object. In an event of a watch its type has to come first, as API servers write it. `DeserializeGuard` by itself makes a tree of everything first.
impl<K: Resource + DeserializeOwned> Parse for Guarded<K> {
    fn parse<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let mut parser = serde_json::Deserializer::from_str(json.get());
        if let Ok(object) = K::deserialize(Skim::object(&mut parser)) {
            return Ok(Self(Ok(object)));
        }
        // From a tree, an error does not name a position in a line that nobody sees.
        let tree = serde_json::from_str::<serde_json::Value>(json.get());
        let mut guarded = tree.and_then(Self::deserialize).map_err(D::Error::custom)?;
        guarded.meta_mut().managed_fields = None;
        Ok(guarded)
    }
}

impl<'de, K: Parse> Deserialize<'de> for Lean<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::parse(deserializer).map(Self)
    }
}

impl<K: Resource> Resource for Lean<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// A deserializer, or one of its helpers, that does not show the managed fields.
struct Skim<T> {
    of: T,
    within: Within,
}

/// Which map it is in.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Object,
    Metadata,
    Elsewhere,
}

impl Within {
    fn hides(self, key: &str) -> bool {
        self == Self::Metadata && key == "managedFields"
    }

    fn value(self, key: &str) -> Self {
        if self == Self::Object && key == "metadata" { Self::Metadata } else { Self::Elsewhere }
    }
}

impl<T> Skim<T> {
    fn object(of: T) -> Self {
        Self { of, within: Within::Object }
    }

    fn with<U>(&self, of: U) -> Skim<U> {
        Skim { of, within: self.within }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Skim<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(visitor);
        self.of.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(visitor);
        self.of.deserialize_option(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// An object, its metadata, or nothing. Anything else is an error of the JSON, which the visitor tells.
impl<'de, V: Visitor<'de>> Visitor<'de> for Skim<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.expecting(formatter)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.of.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.of.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.of.visit_some(deserializer)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let map = SkimMap { of: map, within: self.within, next: Within::Elsewhere };
        self.of.visit_map(map)
    }
}

struct SkimMap<A> {
    of: A,
    within: Within,
    next: Within,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for SkimMap<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.of.next_key::<String>()? {
            if self.within.hides(&key) {
                self.of.next_value::<IgnoredAny>()?;
                continue;
            }
            self.next = self.within.value(&key);
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.next {
            Within::Elsewhere => self.of.next_value_seed(seed),
            within => self.of.next_value_seed(Skim { of: seed, within }),
        }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Skim<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.of.deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use kube::{ResourceExt as _, core::WatchEvent};
    use serde_json::{Value, json};

    use super::*;
    use crate::crd::AppCredential;

    fn parse<K: Parse>(object: &Value) -> serde_json::Result<K> {
        serde_json::from_str::<Lean<K>>(&object.to_string()).map(|Lean(object)| object)
    }

    fn secret() -> Value {
        let metadata = json!({
            "name": "one", "namespace": "team", "uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-11-26T21:05:58Z",
            "labels": { "managedFields": "a label" }, "annotations": { "metadata": "a note" },
            "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:data": {} } }],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "2" }],
        });
        let data = json!({ "managedFields": "AAECAw==", "metadata": "/w==" });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "type": "Opaque" })
    }

    fn app_credential(spec: &Value) -> Value {
        let metadata = json!({ "name": "orders", "uid": "1", "managedFields": [{ "manager": "kubectl" }] });
        json!({ "apiVersion": "snaphook.dev/v1alpha1", "kind": "AppCredential", "metadata": metadata, "spec": spec })
    }

    #[test]
    fn all_but_the_managed_fields_is_there() {
        let mut whole: Secret = serde_json::from_value(secret()).unwrap();
        assert!(whole.metadata.managed_fields.take().is_some());
        assert_eq!(parse::<Secret>(&secret()).unwrap(), whole);
    }

    #[test]
    fn metadata_may_be_missing_or_null_and_nothing_else() {
        for metadata in [None, Some(Value::Null)] {
            let mut object = secret();
            match metadata {
                Some(null) => object["metadata"] = null,
                None => drop(object.as_object_mut().unwrap().remove("metadata")),
            }
            assert_eq!(parse::<Secret>(&object).unwrap().metadata, ObjectMeta::default());
        }
        let mut object = secret();
        object["metadata"] = 7.into();
        let error = parse::<Secret>(&object).unwrap_err().to_string();
        assert!(error.contains("invalid type: integer `7`, expected ObjectMeta"), "{error}");
    }

    #[test]
    fn a_resource_of_its_shape_is_one() {
        let spec = json!({ "scopes": ["orders:read"] });
        let parsed = parse::<Guarded<AppCredential>>(&app_credential(&spec)).unwrap().0.unwrap();
        assert_eq!((parsed.name_any(), parsed.metadata.managed_fields.is_none()), ("orders".into(), true));
        assert_eq!(serde_json::to_value(&parsed.spec).unwrap()["scopes"], spec["scopes"]);
    }

    #[test]
    fn another_is_known_by_its_metadata_and_says_why_without_a_position() {
        let parsed: Guarded<AppCredential> = parse(&app_credential(&json!({ "scopes": 7 }))).unwrap();
        assert_eq!((parsed.name_any(), &parsed.meta().managed_fields), ("orders".into(), &None));
        assert_eq!(parsed.0.unwrap_err().error, "Invalid type integer `7`. Expected a sequence");
    }

    #[test]
    fn an_event_of_a_watch_parses_too() {
        let event = format!(r#"{{"type":"MODIFIED","object":{}}}"#, app_credential(&json!({})));
        let event: WatchEvent<Lean<Guarded<AppCredential>>> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, WatchEvent::Modified(Lean(object)) if object.0.is_ok()));
    }
}
