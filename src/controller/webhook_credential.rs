//! Flow 1: from a `WebhookCredential` to a record, a Secret for the app, and a status. The steps are those of every kind:
//! [`steps`](super::steps).

pub mod build;
pub mod fetch;
pub mod status;
pub mod validate;

use jiff::Timestamp;

use super::{
    apply::Plan,
    fetch::Observed,
    refusal::Refusal,
    steps::{Entropy, Steps},
};
use crate::{config::Config, crd::WebhookCredential, record::InjectionRecord};

impl Steps for WebhookCredential {
    type Record = InjectionRecord;
    type Around = fetch::Around;

    fn plan(&self, observed: &Observed<Self>, _: &Config, now: Timestamp, _: Entropy) -> Plan<Self> {
        let built = validate::validate(self, observed)
            .and_then(|valid| build::build(self, &valid, observed, now).map(|built| (valid, built)));
        match built {
            Ok((valid, built)) => status::plan_of_built(self, &valid, observed, built, now),
            Err(refusal) => status::plan_of_refusal(self, observed, &refusal, now),
        }
    }

    fn report(&self, observed: &Observed<Self>, _: &Config, refusal: &Refusal, now: Timestamp) -> Plan<Self> {
        status::plan_of_refusal(self, observed, refusal, now)
    }
}
