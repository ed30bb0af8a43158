//! Flow 1: how long it takes from the event that woke a resource until its Secret is written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::watches::Trigger;
use crate::{record::Source, telemetry::metrics::controller::Metrics};

/// The resources that events have woken, until a run over them is through.
pub struct Wakes {
    metrics: Arc<Metrics>,
    moments: Mutex<Moments>,
}

/// When the first event came. Those of a run are apart, as our own writes wake a resource too.
#[derive(Default)]
struct Moments {
    waiting: HashMap<Trigger, Instant>,
    at_work: HashMap<Trigger, Instant>,
}

impl Wakes {
    /// Reports there.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, moments: Mutex::default() }
    }

    /// An event came.
    pub fn wake(&self, trigger: &Trigger) {
        self.lock().waiting.entry(trigger.clone()).or_insert_with(Instant::now);
    }

    /// A run begins.
    pub fn begin(&self, trigger: &Trigger) {
        let moments = &mut *self.lock();
        if let Some((trigger, moment)) = moments.waiting.remove_entry(trigger) {
            moments.at_work.insert(trigger, moment);
        }
    }

    /// The Secret is written. A run that no event began tells nothing.
    pub fn secret_written(&self, of: &Source) {
        let Some(trigger) = Trigger::named(&of.kind, &of.namespace, &of.name) else { return };
        if let Some(moment) = self.lock().at_work.remove(&trigger) {
            self.metrics.secret_written(trigger.kind, moment.elapsed());
        }
    }

    /// A run is over. One that is tried again goes on counting.
    pub fn end(&self, trigger: &Trigger, is_through: bool) {
        let moments = &mut *self.lock();
        if let Some((trigger, moment)) = moments.at_work.remove_entry(trigger).filter(|_| !is_through) {
            moments.waiting.insert(trigger, moment);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::controller::State;

    const HOOK: &str = "Webhook";

    /// How many Secrets of Webhooks were measured.
    fn measured(wakes: &Wakes) -> usize {
        let text = wakes.metrics.encode();
        let counted = "snaphook_event_to_secret_seconds_count{kind=\"Webhook\"} ";
        text.lines().find_map(|line| line.strip_prefix(counted)).unwrap().parse().unwrap()
    }

    #[test]
    fn a_secret_is_measured_once_from_the_event_that_began_it_and_over_retries() {
        let metrics = Arc::new(Metrics::new(&[HOOK], &[], State::default));
        let (wakes, hook) = (Wakes::new(metrics), Trigger::named(HOOK, "team", "alerts").unwrap());
        let source = Source { kind: HOOK.into(), namespace: "team".into(), name: "alerts".into(), uid: "u".into() };
        let run = |is_written: bool, is_through: bool| {
            wakes.begin(&hook);
            if is_written {
                wakes.secret_written(&source);
            }
            wakes.end(&hook, is_through);
            measured(&wakes)
        };
        assert_eq!(run(true, true), 0, "no event began it");
        wakes.wake(&hook);
        assert_eq!(run(false, true), 0, "nothing was written");
        assert_eq!(run(true, true), 0, "the event was dealt with before");
        wakes.wake(&hook);
        assert_eq!(run(false, false), 0, "it is tried again");
        assert_eq!(run(true, false), 1);
        assert_eq!(run(true, true), 1, "it was told before");
        // An event of our own write, in the middle of a run that no event began.
        wakes.begin(&hook);
        wakes.wake(&hook);
        wakes.secret_written(&source);
        assert_eq!(measured(&wakes), 1);
    }
}
