//! Flow 1, step 3, pure: what is replaced with an overlap: the old one works beside the new one until it ends.

use jiff::{SignedDuration, Timestamp};

use super::refusal::{Reason, Refusal, refuse};
use crate::record::{
    SecretVersion,
    endpoint::{EndpointSecret, UrlVersion},
};

/// So many may work at the same time.
pub const MAX_VERSIONS: usize = 10;

/// One of several that may work at the same time. The last one in a list is the current one.
pub trait Version: Clone {
    /// When it ends, where that is settled.
    fn not_after(&self) -> Option<Timestamp>;
    /// Settles when it ends.
    fn end_at(&mut self, moment: Timestamp);
}

impl Version for SecretVersion {
    fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    fn end_at(&mut self, moment: Timestamp) {
        self.not_after = Some(moment);
    }
}

impl Version for EndpointSecret {
    fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    fn end_at(&mut self, moment: Timestamp) {
        self.not_after = Some(moment);
    }
}

impl Version for UrlVersion {
    fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    fn end_at(&mut self, moment: Timestamp) {
        self.not_after = Some(moment);
    }
}

/// Those that have not ended.
#[must_use]
pub fn live<V: Version>(versions: &[V], now: Timestamp) -> Vec<V> {
    versions.iter().filter(|version| version.not_after().is_none_or(|end| end > now)).cloned().collect()
}

/// The current one: the last, where it has no end.
#[must_use]
pub fn current<V: Version>(versions: &[V]) -> Option<&V> {
    versions.last().filter(|version| version.not_after().is_none())
}

/// Once the Secret is written: all but the current one end with the overlap.
#[must_use]
pub fn settled<V: Version>(versions: &[V], overlap: SignedDuration, now: Timestamp) -> Vec<V> {
    let mut versions = versions.to_vec();
    if let Some((_, former)) = versions.split_last_mut() {
        for version in former.iter_mut().filter(|version| version.not_after().is_none()) {
            version.end_at(after(whole_seconds(now), overlap));
        }
    }
    live(&versions, now)
}

/// A rotation waits for room; what was lost or changed cannot wait, so the oldest version goes early.
///
/// # Errors
/// There is no room for a rotation.
pub fn make_room<V: Version>(versions: &mut Vec<V>, is_rotation: bool, field: &str) -> Result<(), Refusal> {
    if versions.len() < MAX_VERSIONS {
        return Ok(());
    }
    if is_rotation {
        return refuse(
            Reason::TooManyVersions,
            format!(
                "{field}: {MAX_VERSIONS} former ones still work because their overlap has not ended; waiting for the oldest to end, or shorten spec.rotation.overlap before rotating so often"
            ),
        );
    }
    versions.remove(0);
    Ok(())
}

/// A moment later; the end of time where it would be beyond.
#[must_use]
pub fn after(moment: Timestamp, duration: SignedDuration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// As Kubernetes writes moments.
#[must_use]
pub fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}
