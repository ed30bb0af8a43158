//! Flow 3, pure: what an expression came to, as the filter's answer, the body or the key of a message.

use std::io;

use bytes::Bytes;
use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

/// Longer results of a transform are an error.
pub(super) const MAX_RESULT_BYTES: usize = 1 << 20;

/// What a filter says.
///
/// # Errors
/// Not a `bool`.
pub(super) fn verdict(value: &dyn Val) -> Result<bool, String> {
    let verdict = value.downcast_ref::<CelBool>().map(|verdict| *verdict.inner());
    verdict.ok_or_else(|| format!("it must come to a bool, not to a value of the type {}", name(value)))
}

/// An ordering key.
///
/// # Errors
/// Neither a `string` nor a whole number.
pub(super) fn key(value: &dyn Val) -> Result<String, String> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(text.inner().to_owned());
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok(number.inner().to_string());
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Ok(number.inner().to_string());
    }
    Err(format!("it must come to a string or an int, not to a value of the type {}", name(value)))
}

/// A body of JSON, the keys of its maps in their order.
///
/// # Errors
/// JSON has no such value, or it is too long.
pub(super) fn json(value: &dyn Val) -> Result<Bytes, String> {
    let mut writer = Bounded(Vec::new());
    match serde_json::to_writer(&mut writer, &Json(value)) {
        Ok(()) => Ok(writer.0.into()),
        Err(error) if error.is_io() => Err(format!("it comes to more than {MAX_RESULT_BYTES} bytes")),
        Err(error) => Err(error.to_string()),
    }
}

fn name(value: &dyn Val) -> String {
    value.get_type().name().to_owned()
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RESULT_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Json<'a>(&'a dyn Val);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            serializer.serialize_str(text.inner())
        } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            object(map, serializer)
        } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            serializer.collect_seq(list.iter().map(|element| Json(element.as_ref())))
        } else if let Some(number) = value.downcast_ref::<CelInt>() {
            serializer.serialize_i64(*number.inner())
        } else if let Some(number) = value.downcast_ref::<CelUInt>() {
            serializer.serialize_u64(*number.inner())
        } else if let Some(bool) = value.downcast_ref::<CelBool>() {
            serializer.serialize_bool(*bool.inner())
        } else if value.downcast_ref::<CelNull>().is_some() {
            serializer.serialize_unit()
        } else if let Some(number) = value.downcast_ref::<CelDouble>() {
            double(*number.inner(), serializer)
        } else {
            let advice = "JSON has no values of the type";
            Err(S::Error::custom(format_args!("{advice} {}: convert it with string(…)", name(value))))
        }
    }
}

fn double<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    // The library would write `null`.
    if !number.is_finite() {
        return Err(S::Error::custom("JSON has neither infinity nor NaN"));
    }
    serializer.serialize_f64(number)
}

fn object<S: Serializer>(map: &CelMap<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    let mut object = serializer.serialize_map(Some(pairs.len()))?;
    for (key, value) in pairs {
        let CelMapKey::String(key) = key else {
            let message = "the keys of maps in JSON are texts: convert them with string(…)";
            return Err(S::Error::custom(message));
        };
        object.serialize_entry(key.inner(), &Json(value.as_ref()))?;
    }
    object.end()
}
