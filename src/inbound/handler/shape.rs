//! Flow 3, pure: whether a text is JSON, and how large the lists, maps and values in it are, without keeping any.

use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What a JSON text has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Elements of the longest list or map.
    pub(super) longest: usize,
    /// Values of all kinds, keys of maps as well.
    pub(super) values: usize,
    /// Maps among them.
    pub(super) maps: usize,
}

impl Shape {
    /// # Errors
    /// Not JSON in UTF-8, or nested deeper than 128. The error quotes nothing of the text.
    pub(super) fn of(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut shape = Self::default();
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Count(&mut shape).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(shape)
    }

    /// Of a map of so many texts.
    pub(super) fn of_texts(pairs: usize) -> Self {
        Self { longest: pairs, values: 2 * pairs + 1, maps: 1 }
    }

    fn saw(&mut self, elements: usize) {
        self.longest = self.longest.max(elements);
    }
}

struct Count<'a>(&'a mut Shape);

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.values += 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut elements = 0;
        while list.next_element_seed(Count(self.0))?.is_some() {
            elements += 1;
        }
        self.0.saw(elements);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut elements = 0;
        while map.next_key_seed(Count(self.0))?.is_some() {
            map.next_value_seed(Count(self.0))?;
            elements += 1;
        }
        self.0.saw(elements);
        self.0.maps += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_values_are_counted() {
        for (json, longest, values, maps) in [
            ("null", 0, 1, 0),
            (r#""a""#, 0, 1, 0),
            ("[]", 0, 1, 0),
            ("[1,[2,3,4],-1.5e3]", 3, 7, 0),
            (r#"{"a":{"b":true},"c":[]}"#, 2, 7, 2),
            (r#"{"a":1,"a":2}"#, 2, 5, 1),
        ] {
            assert_eq!(Shape::of(json.as_bytes()).unwrap(), Shape { longest, values, maps }, "{json}");
        }
    }

    #[test]
    fn what_is_not_json_is_an_error_that_quotes_nothing() {
        for json in ["", "s3cret", "{s3cret}", r#"{"s3cret"}"#, "[1] s3cret", "\"s3cret\u{1}\"", "[01]", "1e999", "NaN"]
        {
            let error = Shape::of(json.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(Shape::of(b"\"\xff\"").is_err());
        assert!(Shape::of(b"\xef\xbb\xbf{}").is_err());
    }

    #[test]
    fn depth_ends_at_128() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Shape::of(nested(127).as_bytes()).is_ok());
        let error = Shape::of(nested(128).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("recursion limit exceeded"), "{error}");
        assert!(Shape::of("[".repeat(1 << 20).as_bytes()).is_err());
    }
}
