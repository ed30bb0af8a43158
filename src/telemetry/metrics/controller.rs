//! Flow 1: what the controller counts, and what stands in the conditions. No label names a resource: there may be any number of them.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use super::histogram::Histogram;

/// What a controller has before it at the moment when its metrics are read.
#[derive(Debug, Default)]
pub struct State {
    /// Whether it works, and does not wait for the Lease.
    pub leading: bool,
    /// How many resources have which conditions; nothing on a replica that does not lead.
    pub conditions: BTreeMap<Condition, i64>,
}

/// A condition without the resource that has it. Every field is one of a few words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct Condition {
    /// The kind of the resource.
    pub kind: &'static str,
    /// `Ready`, `Reconciling` or `Stalled`.
    pub condition: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Why, in one word.
    pub reason: &'static str,
}

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    outcomes: Family<OutcomeLabels, Counter>,
    durations: Family<KindLabel, Histogram>,
    latencies: Family<KindLabel, Histogram>,
    orphans: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Metrics {
    /// Registers everything. `kinds` and `results` are all that will come, so that each counter is there before it counts;
    /// `state` is asked whenever the metrics are read.
    #[must_use]
    pub fn new(kinds: &[&'static str], results: &[&'static str], state: impl Ask) -> Self {
        let mut registry = super::registry();
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        registry.register("reconciles", "Runs over a resource, by what they came to", outcomes.clone());
        let durations = Family::<KindLabel, Histogram>::default();
        registry.register("reconcile_duration_seconds", "Time of a run over a resource, in seconds", durations.clone());
        let latencies = Family::<KindLabel, Histogram>::default();
        let help = "Time from the event that woke a resource until its Secret was written, in seconds";
        registry.register("event_to_secret_seconds", help, latencies.clone());
        let orphans = Counter::default();
        registry.register("orphan_records", "Records that were removed as their resource was gone", orphans.clone());
        registry.register_collector(Box::new(Collector(state)));
        for &kind in kinds {
            drop(durations.get_or_create(&KindLabel { kind }));
            drop(latencies.get_or_create(&KindLabel { kind }));
            for &result in results {
                drop(outcomes.get_or_create(&OutcomeLabels { kind, result }));
            }
        }
        Self { registry, outcomes, durations, latencies, orphans }
    }

    /// A run over a resource is over.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.outcomes.get_or_create(&OutcomeLabels { kind, result }).inc();
        self.durations.get_or_create(&KindLabel { kind }).observe(took);
    }

    /// A record outlived its resource, and was removed.
    pub fn orphan_removed(&self) {
        self.orphans.inc();
    }

    /// A Secret for an app was written.
    pub fn secret_written(&self, kind: &'static str, took: Duration) {
        self.latencies.get_or_create(&KindLabel { kind }).observe(took);
    }

    /// All metrics in the `OpenMetrics` text format.
    #[must_use]
    pub fn encode(&self) -> String {
        super::encode(&self.registry)
    }
}

/// Tells the state of the moment.
pub trait Ask: Fn() -> State + Send + Sync + 'static {}
impl<F: Fn() -> State + Send + Sync + 'static> Ask for F {}

struct Collector<F>(F);

impl<F> fmt::Debug for Collector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl<F: Ask> collector::Collector for Collector<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let State { leading, conditions } = (self.0)();
        let help = "1 on the replica that works, 0 on those that wait for the Lease";
        let metric = encoder.encode_descriptor("leading", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(leading)).encode(metric)?;
        let help = "Resources that have this condition";
        let mut metric = encoder.encode_descriptor("resource_conditions", help, None, MetricType::Gauge)?;
        for (condition, count) in conditions {
            ConstGauge::new(count).encode(metric.encode_family(&condition)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_conditions_are_counted_and_nothing_else_is_named() {
        let stalled = Condition { kind: "AppCredential", condition: "Stalled", status: "True", reason: "SecretExists" };
        let state = move || State { leading: true, conditions: BTreeMap::from([(stalled.clone(), 3)]) };
        let metrics = Metrics::new(&["AppCredential"], &["ok", "Conflict"], state);
        metrics.reconciled("AppCredential", "ok", Duration::from_millis(30));
        let text = metrics.encode();
        for line in [
            concat!("snaphook_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "snaphook_leading 1",
            "snaphook_resource_conditions{kind=\"AppCredential\",condition=\"Stalled\",status=\"True\",reason=\"SecretExists\"} 3",
            "snaphook_reconciles_total{kind=\"AppCredential\",result=\"ok\"} 1",
            "snaphook_reconciles_total{kind=\"AppCredential\",result=\"Conflict\"} 0",
            "snaphook_reconcile_duration_seconds_bucket{le=\"0.025\",kind=\"AppCredential\"} 0",
            "snaphook_reconcile_duration_seconds_bucket{le=\"0.1\",kind=\"AppCredential\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
