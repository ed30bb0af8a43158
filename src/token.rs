//! Flow 2, pure: what a token says, who gets one, and whether one is good. No client, no socket, no clock, no random source.

mod client;
mod key;
mod keys;

pub use client::Client;
pub use key::{GeneratedKey, generate};
pub use keys::{KeySet, KeysError};
