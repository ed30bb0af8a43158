//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, for tests and benches.
//!
//! * `assets`: finds the binaries, or has `compile` build them once into a cache.
//! * `supervise`: runs a process that cannot outlive this one; `scratch` removes the directory after the last of them.
//! * `component`: one such process of the control plane, which tests may stop, freeze and start again.
//! * `configuration`: what each of the three is told, in flags and files.
//! * `identity`: who may call: keys, tokens, kubeconfigs.
//! * `plane`: puts them together; `kubectl` and `crds` are what tests ask of it most.
//! * `tools`: other programs that tests run, built as the control plane is.
//! * `node`: what a node with Pods runs, built likewise.
//! * `audit`: reads what the API server was asked to do.
//!
//! `cargo run -p control-plane` starts one by hand, says how to reach it, and stays until Ctrl-C; with `build` it only builds every
//! program that tests need.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let cp = control_plane::shared().await?;
//! let namespace = cp.namespace("rotation").await?;
//! let before = cp.audit().mark()?;
//! // … the program under test works in `namespace` …
//! let writes = cp.audit().since(before)?.into_iter().filter(control_plane::AuditEvent::is_write).count();
//! # let _ = (namespace, writes); Ok(()) }
//! ```

mod assets;
mod audit;
mod compile;
mod component;
mod configuration;
mod crds;
mod identity;
mod kubectl;
mod node;
mod plane;
mod scratch;
mod supervise;
mod tools;

pub use assets::Assets;
pub use audit::{Audit, AuditEvent, Mark};
pub use component::Component;
pub use identity::hex;
pub use kubectl::KubectlOutput;
pub use node::NodePrograms;
pub use plane::{ControlPlane, shared};
pub use supervise::{Exit, Supervised};
pub use tools::{Tool, build_all, gateway_api_crds};
