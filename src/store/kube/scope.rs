//! Flow 2: which Secrets a follower asks for, and how their records are read.

use kube::core::params::{ListParams, WatchParams};

use super::wire::Object;
use crate::{
    record::{self, bundle},
    store::{Needs, Records},
};

/// What a follower asks for.
pub(super) enum Scope {
    /// All record Secrets of a namespace that are needed.
    Labelled(Needs),
    /// One bundle. A right on its name is enough.
    Bundle {
        index: u8,
        name: String,
        /// A name that there is a right on as well, and most likely nothing under it.
        last: String,
    },
}

impl Scope {
    /// The bundle `index` of `count`.
    pub(super) fn bundle(index: u8, count: u8) -> Self {
        Self::Bundle { index, name: bundle::name(index), last: bundle::name(count.saturating_sub(1)) }
    }

    /// Among the followers of one store.
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Labelled(_) => 0,
            Self::Bundle { index, .. } => usize::from(*index),
        }
    }

    pub(super) fn list(&self) -> ListParams {
        match self {
            Self::Labelled(needs) => ListParams::default().labels(selector(*needs)),
            Self::Bundle { name, .. } => ListParams::default().fields(&named(name)),
        }
    }

    pub(super) fn watch(&self) -> WatchParams {
        match self {
            Self::Labelled(needs) => WatchParams::default().labels(selector(*needs)),
            Self::Bundle { name, .. } => WatchParams::default().fields(&named(name)),
        }
    }

    /// Asks for next to nothing.
    pub(super) fn probe(&self) -> ListParams {
        let name = match self {
            Self::Labelled(_) => record::SIGNING_KEYS_SECRET,
            Self::Bundle { last, .. } => last,
        };
        ListParams::default().fields(&named(name))
    }

    /// What a Secret holds now is all that is known of it.
    pub(super) fn take_over(&self, records: &mut Records, object: &Object) {
        match self {
            Self::Labelled(_) => records.set(object.name(), [object.document()]),
            Self::Bundle { .. } => records.set(object.name(), object.documents()),
        }
    }

    /// A complete list begins.
    pub(super) fn begin_list(&self, records: &mut Records) {
        match self {
            Self::Labelled(_) => records.begin_list(),
            Self::Bundle { .. } => {}
        }
    }

    /// A complete list ends, in which there was something, or nothing.
    pub(super) fn finish_list(&self, records: &mut Records, found: bool) {
        match self {
            Self::Labelled(_) => records.finish_list(),
            Self::Bundle { name, .. } if !found => records.remove(name),
            Self::Bundle { .. } => {}
        }
    }
}

fn selector(needs: Needs) -> &'static str {
    match needs {
        Needs::Everything => record::LABEL,
        Needs::Tokens => "snaphook.dev/record in (client,signing-keys)",
    }
}

fn named(name: &str) -> String {
    format!("metadata.name={name}")
}
