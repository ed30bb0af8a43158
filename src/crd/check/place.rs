//! Flow 1, pure: where in an object something is wrong, as people write it and as it is looked up.

use std::fmt;

/// A path from the object's root: `spec.scopes[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place(Vec<String>);

impl Place {
    /// From a JSON pointer (RFC 6901).
    #[cfg(test)]
    #[must_use]
    pub fn from_pointer(pointer: &str) -> Self {
        Self(pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
    }

    /// From the form in which rules name fields: `spec.rotation.interval`.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let parts = path.split(['.', '[']).map(|part| part.trim_end_matches(']').to_owned());
        Self(parts.filter(|part| !part.is_empty()).collect())
    }

    /// One level deeper.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// A place that is named from this one.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&inner.0).cloned().collect())
    }

    /// One level up; nothing above the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.0.split_last()?;
        Some(Self(parents.to_vec()))
    }

    /// Names and indexes, from the root.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let is_index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            match (is_index, part.contains(['.', '/', '['])) {
                (true, _) => write!(formatter, "[{part}]")?,
                (false, true) => write!(formatter, "[{part:?}]")?,
                (false, false) if index == 0 => formatter.write_str(part)?,
                (false, false) => write!(formatter, ".{part}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_kubernetes_writes_it() {
        for (pointer, text) in [
            ("", ""),
            ("/spec/scopes/1", "spec.scopes[1]"),
            ("/metadata/labels/a.b~1c", r#"metadata.labels["a.b/c"]"#),
            ("/spec/rotation", "spec.rotation"),
        ] {
            assert_eq!(Place::from_pointer(pointer).to_string(), text);
        }
        assert_eq!(Place::parse("spec.scopes[1]"), Place::from_pointer("/spec/scopes/1"));
    }
}
