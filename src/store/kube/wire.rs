//! Flow 2: as much of a record Secret as the server needs. Nothing else of it is kept, whatever else it may hold.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use zeroize::Zeroizing;

use crate::{
    record::{self, Kind},
    store::{Document, Refusal},
};

/// One answer to a list.
#[derive(Deserialize)]
pub(super) struct Page {
    metadata: PageMeta,
    /// `null` where there is nothing.
    items: Option<Vec<Object>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: Version,
    #[serde(default)]
    r#continue: String,
}

impl Page {
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.items.iter().flatten()
    }

    /// The moment that the list shows.
    pub(super) fn version(&self) -> &Version {
        &self.metadata.resource_version
    }

    /// What to ask the next page with.
    pub(super) fn next(&self) -> Option<&str> {
        Some(&*self.metadata.r#continue).filter(|token| !token.is_empty())
    }
}

/// A resource version: a counter of the API server's store, written as a number.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Version(String);

impl Version {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Never true where one of them is no number.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let number = |version: &Self| version.0.parse::<u64>().ok();
        number(self).zip(number(other)).is_some_and(|(this, other)| this < other)
    }
}

impl From<String> for Version {
    fn from(version: String) -> Self {
        Self(version)
    }
}

/// A Secret, or something that only has a name: one object that does not parse must not hide the others.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Object {
    Secret(RecordSecret),
    Other(Named),
}

#[derive(Clone, Deserialize)]
pub(super) struct RecordSecret {
    metadata: Metadata,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    data: Data,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: Version,
    #[serde(default)]
    labels: Labels,
}

#[derive(Clone, Default, Deserialize)]
struct Labels {
    /// [`record::LABEL`]. A bundle is known by its name.
    #[serde(rename = "snaphook.dev/record", default)]
    record: String,
}

/// The keys that a record has: [`record::DATA_KEY`], or in a bundle [`record::file_name`].
#[derive(Clone, Default)]
struct Data(BTreeMap<String, Bytes>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;

        impl<'de> Visitor<'de> for Records {
            type Value = Data;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the data of a Secret")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Data, M::Error> {
                let mut data = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == record::DATA_KEY || record::kind_of_file(&key).is_some() {
                        data.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Data(data))
            }
        }

        deserializer.deserialize_map(Records)
    }
}

/// Base64 on the wire. It may hold a private key, so it is wiped when dropped.
#[derive(Clone)]
struct Bytes(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        STANDARD.decode(&*text).map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("expected Base64"))
    }
}

#[derive(Clone, Deserialize)]
pub(super) struct Named {
    metadata: Name,
}

#[derive(Clone, Deserialize)]
struct Name {
    name: String,
}

impl Object {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Secret(secret) => &secret.metadata.name,
            Self::Other(named) => &named.metadata.name,
        }
    }

    pub(super) fn version(&self) -> Option<&Version> {
        match self {
            Self::Secret(secret) => Some(&secret.metadata.resource_version),
            Self::Other(_) => None,
        }
    }

    pub(super) fn document(&self) -> Document<'_> {
        let content = match self {
            Self::Secret(secret) => secret.content(),
            Self::Other(_) => Err(Refusal::NotASecret),
        };
        Document { key: record::DATA_KEY, content }
    }

    /// The records in a bundle; or why there are none.
    pub(super) fn documents(&self) -> Vec<Document<'_>> {
        let refused = |refusal| vec![Document { key: record::DATA_KEY, content: Err(refusal) }];
        match self {
            Self::Secret(secret) if secret.r#type == record::SECRET_TYPE => secret.files().collect(),
            Self::Secret(_) => refused(Refusal::SecretType),
            Self::Other(_) => refused(Refusal::NotASecret),
        }
    }
}

impl RecordSecret {
    /// The type is looked at because only it cannot be changed after somebody else has made the Secret.
    fn content(&self) -> Result<(Kind, &[u8]), Refusal> {
        if self.r#type != record::SECRET_TYPE {
            return Err(Refusal::SecretType);
        }
        let kind = Kind::from_label(&self.metadata.labels.record).ok_or(Refusal::UnknownKind)?;
        let Bytes(json) = self.data.0.get(record::DATA_KEY).ok_or(Refusal::NoDocument)?;
        Ok((kind, json))
    }

    fn files(&self) -> impl Iterator<Item = Document<'_>> {
        self.data.0.iter().filter_map(|(key, Bytes(json))| {
            let kind = record::kind_of_file(key)?;
            Some(Document { key, content: Ok((kind, json)) })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret() -> Value {
        json!({
            "metadata": {"name": "a", "resourceVersion": "7", "labels": {record::LABEL: "client"}, "managedFields": []},
            "type": record::SECRET_TYPE,
            "data": {record::DATA_KEY: STANDARD.encode("{}"), "other": "AAAA"},
        })
    }

    fn changed(pointer: &str, value: Value) -> Object {
        let mut secret = secret();
        *secret.pointer_mut(pointer).unwrap() = value;
        serde_json::from_value(secret).unwrap()
    }

    #[test]
    fn a_record_secret_is_read() {
        let object: Object = serde_json::from_value(secret()).unwrap();
        assert_eq!(object.name(), "a");
        assert_eq!(object.version().unwrap().as_str(), "7");
        assert_eq!(object.document().content, Ok((Kind::Client, &b"{}"[..])));
    }

    #[test]
    fn other_secrets_are_refused_with_the_reason() {
        for (pointer, value, refusal) in [
            ("/type", json!("Opaque"), Refusal::SecretType),
            ("/metadata/labels", json!({record::LABEL: "surprise"}), Refusal::UnknownKind),
            ("/data", json!({"other": "AAAA"}), Refusal::NoDocument),
            ("/data", json!({record::DATA_KEY: "not Base64!"}), Refusal::NotASecret),
            ("/data", json!("text"), Refusal::NotASecret),
            ("/metadata/labels", json!({}), Refusal::UnknownKind),
        ] {
            let object = changed(pointer, value.clone());
            assert_eq!(object.document().content, Err(refusal), "{pointer} {value}");
            assert_eq!(object.name(), "a");
        }
    }

    #[test]
    fn a_bundle_holds_records_under_names_that_tell_their_kinds() {
        let data = json!({"client.a.json": STANDARD.encode("{}"), "endpoint.b.json": "AAAA", "note.txt": 5});
        let bundle = changed("/data", data);
        let found: Vec<_> = bundle.documents().iter().map(|it| (it.key.to_owned(), it.content.unwrap().0)).collect();
        assert_eq!(found, [("client.a.json".to_owned(), Kind::Client), ("endpoint.b.json".to_owned(), Kind::Endpoint)]);
        let refusals = |object: Object| object.documents().iter().map(|it| it.content.unwrap_err()).collect::<Vec<_>>();
        assert_eq!(refusals(changed("/type", json!("Opaque"))), [Refusal::SecretType]);
        assert_eq!(refusals(changed("/data", json!("text"))), [Refusal::NotASecret]);
    }

    #[test]
    fn an_object_that_is_no_secret_does_not_hide_the_others() {
        let page: Page = serde_json::from_value(json!({
            "metadata": {"resourceVersion": "9", "continue": ""},
            "items": [{"metadata": {"name": "b"}, "data": 5}, secret()],
        }))
        .unwrap();
        let usable: Vec<bool> = page.objects().map(|object| object.document().content.is_ok()).collect();
        assert_eq!(usable, [false, true]);
        assert!(page.next().is_none());
    }

    #[test]
    fn an_empty_page_may_have_no_items() {
        let page: Page = serde_json::from_value(json!({"metadata": {"resourceVersion": "9"}, "items": null})).unwrap();
        assert_eq!(page.objects().count(), 0);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text: &str| Version::from(text.to_owned());
        assert!(version("9").is_before(&version("10")));
        assert!(!version("10").is_before(&version("9")));
        assert!(!version("9").is_before(&version("9")));
        assert!(!version("a").is_before(&version("9")));
    }
}
