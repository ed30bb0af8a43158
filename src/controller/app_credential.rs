//! Flow 1: from an `AppCredential` to a record, a Secret for the app, and a status. The steps are those of every kind:
//! [`steps`](super::steps).

pub mod build;
pub mod fetch;
pub mod secret_value;
pub mod status;
pub mod validate;

use jiff::Timestamp;

use super::{
    apply::Plan,
    fetch::Observed,
    refusal::Refusal,
    steps::{Entropy, Steps},
};
use crate::{config::Config, crd::AppCredential, record::ClientRecord};

impl Steps for AppCredential {
    type Record = ClientRecord;
    type Around = fetch::Around;

    fn plan(&self, observed: &Observed<Self>, config: &Config, now: Timestamp, entropy: Entropy) -> Plan<Self> {
        let built = validate::validate(self, observed, config)
            .and_then(|valid| build::build(&valid, observed, now, entropy).map(|built| (valid, built)));
        match built {
            Ok((valid, built)) => status::plan_of_built(self, &valid, built, now),
            Err(refusal) => status::plan_of_refusal(self, observed, config, &refusal, now, entropy),
        }
    }

    fn report(&self, observed: &Observed<Self>, _: &Config, refusal: &Refusal, now: Timestamp) -> Plan<Self> {
        status::plan_of_report(self, observed, refusal, now)
    }

    /// Confirming a secret is not worth a write: the server does not look at it.
    fn differs(old: &ClientRecord, new: &ClientRecord) -> bool {
        let confirmed = |record: &ClientRecord| {
            let mut record = record.clone();
            record.secrets.iter_mut().for_each(|version| version.confirmed = true);
            record
        };
        confirmed(old) != confirmed(new)
    }
}
