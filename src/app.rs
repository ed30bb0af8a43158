//! Start-up and wiring, one module a job. Nothing here decides anything.

pub mod controller;
pub mod dev;
pub mod server;

/// The runtime of every job.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
