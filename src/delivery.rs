//! Flow 3: from a stored message to an outgoing call, and what becomes of it.

pub mod attempt;
pub mod egress;
pub mod inject;
pub mod message;
mod passed_on;
pub mod queue;
pub mod retry;
pub mod sign;
pub mod target;
pub mod verdict;
pub mod worker;

pub use passed_on::passed_on;
