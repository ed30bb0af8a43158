//! Flow 3: what the server counts of posts and deliveries. No label names an endpoint or a path.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::histogram::Histogram;

/// Counters of flow 3.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    posts: Family<OutcomeLabel, Counter>,
    answered: Histogram,
    deliveries: Family<OutcomeLabel, Counter>,
    dead_letters: Family<ReasonLabel, Counter>,
    held: Family<ReasonLabel, Counter>,
    called: Histogram,
    calling: Gauge,
    queued: Gauge,
    oldest: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Hooks {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { posts, answered, deliveries, dead_letters, held, called, calling, queued, oldest } = self.clone();
        registry.register("hook_posts", "Posts to endpoints, by what they were answered", posts);
        let help = "Time from a post's headers to its answer, in seconds";
        registry.register("hook_post_duration_seconds", help, answered);
        registry.register("deliveries", "Outgoing calls, by what they ended with", deliveries);
        registry.register("dead_letters", "Messages that ended undelivered, by reason", dead_letters);
        registry.register("messages_held", "Times that a message was put aside until something changes", held);
        registry.register("delivery_duration_seconds", "Time that outgoing calls take, in seconds", called);
        registry.register("deliveries_in_flight", "Outgoing calls that are under way", calling);
        registry.register("queue_messages", "Messages that have not ended", queued);
        registry.register("queue_oldest_age_seconds", "Since when the oldest of them is queued", oldest);
    }

    /// A post was answered.
    pub fn post(&self, took: Duration, outcome: &'static str) {
        self.posts.get_or_create(&OutcomeLabel { outcome }).inc();
        self.answered.observe(took);
    }

    /// An outgoing call has ended.
    pub fn call(&self, took: Duration, outcome: &'static str) {
        self.deliveries.get_or_create(&OutcomeLabel { outcome }).inc();
        self.called.observe(took);
    }

    /// So many outgoing calls are under way.
    pub fn calling(&self, calls: usize) {
        self.calling.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// A message has ended undelivered.
    pub fn dead_letter(&self, reason: &'static str) {
        self.dead_letters(reason, 1);
    }

    /// So many messages have ended undelivered.
    pub fn dead_letters(&self, reason: &'static str, count: u64) {
        self.dead_letters.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// A message waits for something to change.
    pub fn hold(&self, reason: &'static str) {
        self.held.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// How much is queued, and since when, in seconds.
    pub fn queue(&self, messages: u64, oldest: u64) {
        self.queued.set(i64::try_from(messages).unwrap_or(i64::MAX));
        self.oldest.set(i64::try_from(oldest).unwrap_or(i64::MAX));
    }
}
