//! A real Kubernetes cluster with real Pods, for tests: one node, without a container engine, or the one that `KUBECONFIG` names.
//!
//! * `cluster`: what tests ask of it, through `kubectl` and `helm` alone.
//! * `node`: a cluster of our own: `supervise.sh` keeps it and cleans up, `init.sh` is PID 1 in its namespaces.
//! * `image`, `images`: its images, made from programs of this machine.
//!
//! `src/app` is the test app: what users' Pods do with the Secrets that they mount. `tests/suite` is the suite.

mod cluster;
mod image;
mod images;
mod node;

pub use cluster::{Cluster, Following, Load, wait_for};
pub use images::{ALERTMANAGER, APP, CURL, SNAPHOOK, TRAEFIK, write_all};
pub use node::Node;
