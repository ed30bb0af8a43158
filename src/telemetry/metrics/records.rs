//! Flow 2: the state of the records, asked for when the metrics are read.

use std::{fmt, sync::Arc, time::Instant};

use prometheus_client::{
    collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::{record::Kind, store::Store};

#[derive(Debug)]
pub(super) struct Collector(Arc<Store>);

impl Collector {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Absent before the first read: an age of zero would be a lie, and any number would be one.
        if let Some(age) = self.0.age(Instant::now()) {
            let help = "Seconds since the source of the records last proved itself";
            let metric = encoder.encode_descriptor("records_age_seconds", help, None, MetricType::Gauge)?;
            ConstGauge::new(age.as_secs_f64()).encode(metric)?;
        }
        let counts = self.0.load().counts;
        let mut metric = encoder.encode_descriptor("records", "Records that are served", None, MetricType::Gauge)?;
        let served = [
            (Kind::Client, counts.clients),
            (Kind::SigningKeys, counts.signing_keys),
            (Kind::Endpoint, counts.endpoints),
            (Kind::Injection, counts.injections),
        ];
        for (kind, count) in served {
            let label = [("kind", kind.as_str())];
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric.encode_family(&label)?)?;
        }
        let help = "Records that are there and not served: they do not parse, or claim the same as another";
        let metric = encoder.encode_descriptor("records_invalid", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(counts.unusable).unwrap_or(i64::MAX)).encode(metric)
    }
}
