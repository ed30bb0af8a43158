//! Flow 3, pure: what is posted to an endpoint, from its raw bytes to the messages that are stored.

mod endpoint;
pub mod verify;

pub use endpoint::{Endpoint, EndpointError};
