//! Flow 3, pure: JSON as values of CEL, whose texts point into what was posted.

use core::fmt;

use cel::common::{
    types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value of CEL.
pub(super) type Value<'v> = Box<dyn Val + 'v>;

/// JSON as CEL has it: a whole number is an `int`, beyond its range a `uint`; every other number a `double`. Of keys that
/// come twice the last one counts.
///
/// # Errors
/// Not JSON, or nested deeper than 128.
pub(super) fn from_json(json: &[u8]) -> Result<Value<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Tree.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

pub(super) fn text<'v>(text: impl Into<CelString<'v>>) -> Value<'v> {
    Box::new(text.into())
}

pub(super) fn bytes(bytes: &[u8]) -> Value<'_> {
    Box::new(CelBytes::from(bytes))
}

/// A map with texts as keys.
pub(super) fn map<'v>(pairs: impl IntoIterator<Item = (CelString<'v>, Value<'v>)>) -> Value<'v> {
    let pairs = pairs.into_iter().map(|(name, value)| (CelMapKey::String(name), value));
    Box::new(CelMap::from(pairs.collect::<std::collections::HashMap<_, _>>()))
}

#[derive(Clone, Copy)]
struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(text(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Box::new(CelList::from(elements)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut pairs = std::collections::HashMap::new();
        while let Some(name) = map.next_key_seed(Name)? {
            pairs.insert(CelMapKey::String(name), map.next_value_seed(self)?);
        }
        Ok(Box::new(CelMap::from(pairs)))
    }
}

/// A key of a map.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = CelString<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<CelString<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = CelString<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<CelString<'de>, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<CelString<'de>, E> {
        Ok(value.to_owned().into())
    }
}
