//! Flow 2: tokens whose signature was found to be good, so that it is not computed again at every question.
//!
//! Only good ones are kept: nobody can fill the cache but those to whom tokens are issued. What it holds cannot change
//! (one `kid`, one key, one text, one set of claims); all that can is asked of the snapshot every time.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::Bytes;
use jiff::Timestamp;
use quick_cache::{Weighter, sync::Cache};

use crate::token::{Clients, KeySet, Verified, verify};

/// What the answers in the cache may weigh together. Their tokens are not kept.
const MAX_WEIGHT: u64 = 8 * 1024 * 1024;
const TYPICAL_WEIGHT: usize = 1024;

/// A token whose signature is good.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) verified: Verified,
    /// What introspection answers while it is active.
    pub(super) answer: Bytes,
}

/// Good tokens by their SHA-256.
#[derive(Debug)]
pub(super) struct SeenTokens(Cache<[u8; 32], Arc<Seen>, Weight>);

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<[u8; 32], Arc<Seen>> for Weight {
    fn weight(&self, _: &[u8; 32], seen: &Arc<Seen>) -> u64 {
        // The claims hold about the same text once more.
        seen.answer.len() as u64 * 2 + 256
    }
}

impl Default for SeenTokens {
    fn default() -> Self {
        let entries = usize::try_from(MAX_WEIGHT).unwrap_or(usize::MAX) / TYPICAL_WEIGHT;
        Self(Cache::with_weighter(entries, MAX_WEIGHT, Weight))
    }
}

impl SeenTokens {
    /// The token, if it counts at `now`.
    pub(super) fn active(&self, keys: &KeySet, clients: &Clients, token: &str, now: Timestamp) -> Option<Arc<Seen>> {
        let seen = self.verify(keys, token, now)?;
        seen.verified.is_active(keys, clients, now).then_some(seen)
    }

    /// The token, if its signature is good.
    fn verify(&self, keys: &KeySet, token: &str, now: Timestamp) -> Option<Arc<Seen>> {
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(seen) = self.0.get(&key) {
            return Some(seen);
        }
        let verified = verify(keys, token, now)?;
        let answer = Bytes::from(verified.answer());
        let seen = Arc::new(Seen { verified, answer });
        self.0.insert(key, seen.clone());
        Some(seen)
    }
}
