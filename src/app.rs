//! Start-up and wiring, one module a job. Nothing here decides anything.

pub mod controller;
pub mod deliveries;
pub mod dev;
pub mod hooks;
pub mod receive;
pub mod server;
pub mod uninstall;

/// The cluster, as KUBECONFIG or the Pod says.
pub(crate) async fn cluster(component: &str) -> anyhow::Result<kube::Config> {
    use anyhow::Context as _;
    let infer = kube::Config::infer().await;
    named(infer.context("no cluster was found: set KUBECONFIG, or run inside a cluster")?, component)
}

/// A cluster, with a name for this program in its audit log.
pub(crate) fn named(mut config: kube::Config, component: &str) -> anyhow::Result<kube::Config> {
    let name = format!("snaphook-{component}/{}", env!("CARGO_PKG_VERSION"));
    config.headers.push((axum::http::header::USER_AGENT, name.try_into()?));
    Ok(config)
}

/// The runtime of every job but the server, which has one of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // In a huge page that is half free the other half stays in memory. Where it cannot be switched off, more is resident.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
