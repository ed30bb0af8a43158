//! Both flows: the Secrets with fixed names in which the records of a namespace with a realm of its own lie together, one key a record.
//!
//! RBAC knows no labels, and names it can list; a Pod can mount what has a name. The keys are those of [`file_name`](super::file_name), so that
//! what a bundle becomes when it is mounted is a directory of records.

/// The value of [`super::LABEL`] on a bundle.
pub const LABEL_VALUE: &str = "bundle";
/// Longest sum of keys and values. Kubernetes allows 1 MiB of values, and its store 1.5 MiB with what the API server adds for each key.
pub const MAX_BYTES: usize = 800 * 1024;
/// How many there are where the configuration does not say.
pub const DEFAULT_COUNT: u8 = 8;
/// How many there can be.
pub const MAX_COUNT: u8 = 32;

const PREFIX: &str = "snaphook-records-";

/// The name of a bundle, counted from 0.
#[must_use]
pub fn name(index: u8) -> String {
    format!("{PREFIX}{index}")
}

/// Which bundle has a name.
#[must_use]
pub fn index_of(secret_name: &str) -> Option<u8> {
    let index = secret_name.strip_prefix(PREFIX)?.parse().ok()?;
    (index < MAX_COUNT && name(index) == secret_name).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_bundle() {
        for index in 0..MAX_COUNT {
            assert_eq!(index_of(&name(index)), Some(index));
        }
        for other in
            ["", "snaphook-records-", "snaphook-records-32", "snaphook-records-01", "snaphook-records-+1", "records-1"]
        {
            assert_eq!(index_of(other), None, "{other}");
        }
    }
}
