//! Flow 1: from a `Webhook` to a record, a Secret for the app, a route, and a status. The steps are those of every kind:
//! [`steps`](super::steps).

pub mod build;
pub mod fetch;
pub mod hook_id;
pub mod route;
pub mod spec;
pub mod status;
pub mod target;
pub mod validate;

use jiff::Timestamp;

use super::{
    apply::Plan,
    fetch::Observed,
    refusal::Refusal,
    steps::{Entropy, Steps},
};
use crate::{config::Config, crd::Webhook, record::EndpointRecord};

impl Steps for Webhook {
    type Record = EndpointRecord;
    type Around = fetch::Around;

    fn plan(&self, observed: &Observed<Self>, config: &Config, now: Timestamp, entropy: Entropy) -> Plan<Self> {
        let built = validate::validate(self, observed, config)
            .and_then(|valid| build::build(self, &valid, observed, now, entropy).map(|built| (valid, built)));
        match built {
            Ok((valid, built)) => status::plan_of_built(self, &valid, observed, built, now),
            Err(refusal) => status::plan_of_refusal(self, observed, config, &refusal, now),
        }
    }

    fn report(&self, observed: &Observed<Self>, config: &Config, refusal: &Refusal, now: Timestamp) -> Plan<Self> {
        status::plan_of_refusal(self, observed, config, refusal, now)
    }
}
