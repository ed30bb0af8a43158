//! Start-up and wiring, one module a job. Nothing here decides anything.

pub mod controller;
pub mod deliveries;
pub mod dev;
pub mod hooks;
pub mod receive;
pub mod server;
mod terminal;
pub mod uninstall;

/// The cluster, as KUBECONFIG or the Pod says, with a name for this program in the API server's audit log.
async fn cluster(component: &str) -> anyhow::Result<kube::Config> {
    use anyhow::Context as _;
    let infer = kube::Config::infer().await;
    let mut config = infer.context("no cluster was found: set KUBECONFIG, or run inside a cluster")?;
    let name = format!("snaphook-{component}/{}", env!("CARGO_PKG_VERSION"));
    config.headers.push((axum::http::header::USER_AGENT, name.try_into()?));
    Ok(config)
}

/// The runtime of every job.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
