//! Flow 3, pure: the hash of the id in `/hooks/{id}`, under which the snapshot keeps endpoints.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};

/// SHA-256 of an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UrlHash([u8; 32]);

impl UrlHash {
    /// Hashes an id.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&SHA256, id.as_bytes()).as_ref());
        Self(hash)
    }
}

impl fmt::Debug for UrlHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UrlHash(…)")
    }
}
