//! Flow 1: where a record lies. The name depends on nothing but the resource, so a clean-up needs no valid spec.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use super::Kind;

/// Longest name. Kubernetes allows 253 to a name and to a key in a Secret's data; the rest is for what [`file_name`] adds.
const MAX_NAME: usize = 230;
const HASH_CHARS: usize = 32;

/// The name of the record Secret of the resource `kind` `namespace`/`name`: a readable prefix, and a hash that makes it
/// unique where the prefix had to be cut or could be read in two ways.
#[must_use]
pub fn secret_name(kind: &str, namespace: &str, name: &str) -> String {
    let readable = format!("{}-{namespace}-{name}", kind.to_ascii_lowercase());
    let kept = &readable[..readable.len().min(MAX_NAME - HASH_CHARS - 1)];
    let digest = digest::digest(&digest::SHA256, format!("{kind}/{namespace}/{name}").as_bytes());
    let mut secret_name = format!("{}-", kept.trim_end_matches(['-', '.']));
    for byte in &digest.as_ref()[..HASH_CHARS / 2] {
        let _ = write!(secret_name, "{byte:02x}"); // a String takes everything
    }
    secret_name
}

/// The file (or key of a bundle) that holds a record outside a Secret of its own: `<kind>.<secret name>.json`.
#[must_use]
pub fn file_name(kind: Kind, secret_name: &str) -> String {
    format!("{}.{secret_name}.json", kind.as_str())
}

/// The kind that a file name from [`file_name`] tells; absent for other files.
#[must_use]
pub fn kind_of_file(file_name: &str) -> Option<Kind> {
    parse_file_name(file_name).map(|(kind, _)| kind)
}

/// What [`file_name`] was made from; absent for other files.
#[must_use]
pub fn parse_file_name(file_name: &str) -> Option<(Kind, &str)> {
    let (kind, secret_name) = file_name.strip_suffix(".json")?.split_once('.')?;
    Some((Kind::from_label(kind)?, secret_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_read_alike_differ() {
        assert_ne!(secret_name("AppCredential", "a-b", "c"), secret_name("AppCredential", "a", "b-c"));
        assert_ne!(secret_name("AppCredential", "a", "b"), secret_name("Webhook", "a", "b"));
    }

    #[test]
    fn a_name_never_changes() {
        assert_eq!(
            secret_name("AppCredential", "team-a", "billing"),
            "appcredential-team-a-billing-55f166550d2840d154356574af548124"
        );
    }

    #[test]
    fn the_longest_name_fits() {
        let name = secret_name("AppCredential", &"n".repeat(63), &"x.".repeat(121));
        assert!(name.len() <= MAX_NAME, "{name}");
        assert!(!name.contains(".-"), "{name}");
        assert!(file_name(Kind::SigningKeys, &name).len() <= 253);
    }

    #[test]
    fn a_file_name_tells_its_kind() {
        let name = file_name(Kind::Client, "appcredential-a.b-c");
        assert_eq!(parse_file_name(&name), Some((Kind::Client, "appcredential-a.b-c")));
        for other in ["client.json", "note.txt", "..data", "client.x.json.tmp", "other.x.json"] {
            assert_eq!(kind_of_file(other), None, "{other}");
        }
    }
}
