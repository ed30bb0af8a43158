//! Flow 3, pure: which endpoints there are and how much there is of each. There are as many as Webhooks, so memory holds them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use super::{Amount, Quota, encoding::Amounts};
use crate::{
    delivery::message::{EndpointRef, Phase},
    record::endpoint::Limits,
};

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) endpoint: EndpointRef,
    pub(super) amounts: Amounts,
}

/// Endpoints by number and by reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    entries: BTreeMap<u32, Entry>,
    numbers: HashMap<EndpointRef, u32>,
}

impl Directory {
    pub(super) fn number(&self, endpoint: &EndpointRef) -> Option<u32> {
        self.numbers.get(endpoint).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Entry> {
        self.entries.get(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().map(|(number, entry)| (*number, entry))
    }

    /// Those after a number, in their order.
    pub(super) fn after(&self, number: Option<u32>) -> impl Iterator<Item = (u32, &Entry)> {
        let start = number.map_or(0, |number| number.saturating_add(1));
        self.entries.range(start..).map(|(number, entry)| (*number, entry))
    }

    fn set(&mut self, number: u32, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.numbers.insert(entry.endpoint.clone(), number);
            self.entries.insert(number, entry);
        } else if let Some(entry) = self.entries.remove(&number) {
            self.numbers.remove(&entry.endpoint);
        }
    }
}

/// The directory as the committer keeps it: ahead of the file until a transaction is committed, and thrown away with it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    directory: Directory,
    /// What is queued of all endpoints of a namespace.
    namespaces: HashMap<Arc<str>, Amount>,
    /// What there is of all endpoints.
    total: Amounts,
    dirty: BTreeSet<u32>,
    pub(super) next_number: u64,
    pub(super) next_endpoint: u32,
}

impl Ledger {
    /// A ledger of what a file holds.
    pub(super) fn new(entries: impl IntoIterator<Item = (u32, Entry)>, next_number: u64, next_endpoint: u32) -> Self {
        let mut ledger = Self { next_number, next_endpoint, ..Self::default() };
        for (number, entry) in entries {
            let namespace = ledger.namespaces.entry(entry.endpoint.namespace.clone()).or_default();
            add(namespace, entry.amounts.queued);
            add(&mut ledger.total.queued, entry.amounts.queued);
            add(&mut ledger.total.dead_letters, entry.amounts.dead_letters);
            add(&mut ledger.total.delivered, entry.amounts.delivered);
            ledger.directory.set(number, Some(entry));
        }
        ledger
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn total(&self) -> &Amounts {
        &self.total
    }

    /// A number for a message.
    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// The number of an endpoint, which from now on it has.
    pub(super) fn enrol(&mut self, endpoint: &EndpointRef) -> u32 {
        if let Some(number) = self.directory.number(endpoint) {
            return number;
        }
        let number = self.next_endpoint;
        self.next_endpoint += 1;
        let entry = Entry { endpoint: endpoint.clone(), amounts: Amounts::default() };
        self.directory.set(number, Some(entry));
        self.dirty.insert(number);
        number
    }

    /// Whether there is room for so much more.
    pub(super) fn check(&self, endpoint: &EndpointRef, limits: &Limits, more: Amount) -> Result<(), Quota> {
        let Limits { messages, bytes, namespace_messages, namespace_bytes, posts_per_second: _ } = *limits;
        let number = self.directory.number(endpoint);
        let own = number
            .and_then(|number| self.directory.get(number))
            .map_or_else(Amount::default, |entry| entry.amounts.queued);
        let namespace = self.namespaces.get(&endpoint.namespace).copied().unwrap_or_default();
        let checks = [
            (messages, own.messages, more.messages, Quota::Messages),
            (bytes, own.bytes, more.bytes, Quota::Bytes),
            (namespace_messages, namespace.messages, more.messages, Quota::NamespaceMessages),
            (namespace_bytes, namespace.bytes, more.bytes, Quota::NamespaceBytes),
        ];
        let over = |(limit, used, more, _): &(Option<u64>, u64, u64, Quota)| {
            *more > 0 && limit.is_some_and(|limit| used.saturating_add(*more) > limit)
        };
        checks.into_iter().find(over).map_or(Ok(()), |(.., quota)| Err(quota))
    }

    /// Counts a message that came into a phase.
    pub(super) fn count_in(&mut self, number: u32, phase: Phase, bytes: u64) {
        self.count(number, phase, |amount| add(amount, Amount { messages: 1, bytes }));
    }

    /// Counts a message that left a phase.
    pub(super) fn count_out(&mut self, number: u32, phase: Phase, bytes: u64) {
        self.count(number, phase, |amount| subtract(amount, Amount { messages: 1, bytes }));
    }

    fn count(&mut self, number: u32, phase: Phase, apply: impl Fn(&mut Amount)) {
        let Some(entry) = self.directory.entries.get_mut(&number) else { return };
        apply(entry.amounts.of(phase));
        apply(self.total.of(phase));
        if !phase.is_end() {
            apply(self.namespaces.entry(entry.endpoint.namespace.clone()).or_default());
        }
        self.dirty.insert(number);
    }

    /// The endpoints that changed since this was last asked. One of which nothing is left is forgotten, and is `None`.
    pub(super) fn take_dirty(&mut self) -> Vec<(u32, Option<Entry>)> {
        let dirty = mem::take(&mut self.dirty);
        dirty.into_iter().map(|number| (number, self.keep_or_forget(number))).collect()
    }

    fn keep_or_forget(&mut self, number: u32) -> Option<Entry> {
        let entry = self.directory.get(number)?;
        if entry.amounts != Amounts::default() {
            return Some(entry.clone());
        }
        let namespace = entry.endpoint.namespace.clone();
        if self.namespaces.get(&namespace) == Some(&Amount::default()) {
            self.namespaces.remove(&namespace);
        }
        self.directory.set(number, None);
        None
    }
}

/// Takes over what was committed.
pub(super) fn publish(directory: &mut Directory, changes: Vec<(u32, Option<Entry>)>) {
    for (number, entry) in changes {
        directory.set(number, entry);
    }
}

fn add(amount: &mut Amount, more: Amount) {
    amount.messages = amount.messages.saturating_add(more.messages);
    amount.bytes = amount.bytes.saturating_add(more.bytes);
}

fn subtract(amount: &mut Amount, less: Amount) {
    amount.messages = amount.messages.saturating_sub(less.messages);
    amount.bytes = amount.bytes.saturating_sub(less.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(namespace: &str, name: &str) -> EndpointRef {
        EndpointRef { namespace: namespace.into(), name: name.into(), uid: format!("uid-of-{name}").into() }
    }

    fn filled() -> Ledger {
        let mut ledger = Ledger::default();
        for (namespace, name, messages) in [("shop", "orders", 3), ("shop", "refunds", 2), ("ops", "alerts", 9)] {
            let number = ledger.enrol(&endpoint(namespace, name));
            (0..messages).for_each(|_| ledger.count_in(number, Phase::Due, 10));
        }
        ledger
    }

    #[test]
    fn each_quota_is_checked_up_to_its_limit() {
        let none = Limits::default();
        let cases: [(Limits, u64, u64, Result<(), Quota>); 10] = [
            (none, 1_000_000, 1_000_000_000, Ok(())),
            (Limits { messages: Some(4), ..none }, 1, 10, Ok(())),
            (Limits { messages: Some(4), ..none }, 2, 10, Err(Quota::Messages)),
            (Limits { bytes: Some(40), ..none }, 1, 10, Ok(())),
            (Limits { bytes: Some(40), ..none }, 1, 11, Err(Quota::Bytes)),
            (Limits { namespace_messages: Some(6), ..none }, 1, 10, Ok(())),
            (Limits { namespace_messages: Some(6), ..none }, 2, 10, Err(Quota::NamespaceMessages)),
            (Limits { namespace_bytes: Some(60), ..none }, 1, 11, Err(Quota::NamespaceBytes)),
            // A limit that was lowered does not refuse what takes no room.
            (Limits { messages: Some(1), ..none }, 0, 0, Ok(())),
            (Limits { bytes: Some(1), ..none }, 1, 0, Ok(())),
        ];
        for (limits, messages, bytes, expected) in cases {
            let more = Amount { messages, bytes };
            assert_eq!(filled().check(&endpoint("shop", "orders"), &limits, more), expected, "{limits:?} {more:?}");
        }
    }

    #[test]
    fn what_ended_takes_no_room() {
        let mut ledger = filled();
        let number = ledger.enrol(&endpoint("shop", "orders"));
        (0..3).for_each(|_| {
            ledger.count_out(number, Phase::Waiting, 10);
            ledger.count_in(number, Phase::DeadLetter, 10);
        });
        let limits = Limits { messages: Some(1), namespace_messages: Some(3), ..Limits::default() };
        assert_eq!(ledger.check(&endpoint("shop", "orders"), &limits, Amount { messages: 1, bytes: 1 }), Ok(()));
        assert_eq!(ledger.total().dead_letters, Amount { messages: 3, bytes: 30 });
    }

    #[test]
    fn an_endpoint_of_which_nothing_is_left_is_forgotten_and_its_number_is_not_used_again() {
        let mut ledger = Ledger::default();
        let number = ledger.enrol(&endpoint("shop", "orders"));
        ledger.count_in(number, Phase::Held, 7);
        assert!(matches!(ledger.take_dirty()[..], [(_, Some(_))]));
        ledger.count_out(number, Phase::Held, 7);
        assert_eq!(ledger.take_dirty(), [(number, None)]);
        assert_eq!(ledger.take_dirty(), []);
        assert!(ledger.namespaces.is_empty());
        assert_ne!(ledger.enrol(&endpoint("shop", "orders")), number);
    }
}
