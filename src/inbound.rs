//! Flow 3, pure: what is posted to an endpoint, from its raw bytes to the messages that are stored.

mod endpoint;
mod handler;

pub use endpoint::{Endpoint, EndpointError};
pub use handler::{Event, Failure, Field, Handler, HandlerError, Incoming, Invalid, Outcome, Problem, Reason, Verdict};
