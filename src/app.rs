//! Start-up and wiring, one module a job. Nothing here decides anything.

pub mod server;
