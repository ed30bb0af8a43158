//! Flow 3, pure: what is posted to an endpoint, from its raw bytes to the messages that are stored.

pub mod dedupe;
mod endpoint;
pub mod handler;
pub mod handshake;
pub mod trace;
pub mod verify;

pub use endpoint::{Endpoint, EndpointError};
