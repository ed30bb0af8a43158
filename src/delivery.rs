//! Flow 3: from a stored message to an outgoing call, and what becomes of it.

pub mod message;
pub mod queue;
