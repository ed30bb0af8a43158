//! Flow 3, pure: the row of an endpoint: who it is and how much there is of it.

use super::{Damaged, Reader, Writer};
use crate::delivery::{
    message::{EndpointRef, Phase},
    queue::Amount,
};

/// What there is of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::delivery::queue) struct Amounts {
    pub(in crate::delivery::queue) queued: Amount,
    pub(in crate::delivery::queue) dead_letters: Amount,
    pub(in crate::delivery::queue) delivered: Amount,
}

impl Amounts {
    pub(in crate::delivery::queue) fn of(&mut self, phase: Phase) -> &mut Amount {
        match phase {
            Phase::Due | Phase::Waiting | Phase::Held => &mut self.queued,
            Phase::DeadLetter => &mut self.dead_letters,
            Phase::Delivered => &mut self.delivered,
        }
    }
}

pub(in crate::delivery::queue) fn write_endpoint(endpoint: &EndpointRef, amounts: &Amounts, row: &mut Vec<u8>) {
    let EndpointRef { namespace, name, uid } = endpoint;
    let Amounts { queued, dead_letters, delivered } = amounts;
    row.clear();
    let mut writer = Writer(row);
    for text in [namespace, name, uid] {
        writer.text(text);
    }
    for Amount { messages, bytes } in [queued, dead_letters, delivered] {
        writer.u64(*messages);
        writer.u64(*bytes);
    }
}

pub(in crate::delivery::queue) fn read_endpoint(row: &[u8]) -> Result<(EndpointRef, Amounts), Damaged> {
    let mut reader = Reader(row);
    let endpoint =
        EndpointRef { namespace: reader.text()?.into(), name: reader.text()?.into(), uid: reader.text()?.into() };
    let mut amount = || Ok(Amount { messages: reader.u64()?, bytes: reader.u64()? });
    let amounts = Amounts { queued: amount()?, dead_letters: amount()?, delivered: amount()? };
    reader.end()?;
    Ok((endpoint, amounts))
}
