//! Flow 2: records become an immutable snapshot behind an atomic pointer, from which every request is answered.

mod snapshot;

pub use snapshot::{Snapshot, Store};
