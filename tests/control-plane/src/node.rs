//! What a node with Pods runs besides the control plane: from Go modules of their own, built once into the same cache.

use std::path::PathBuf;

use anyhow::Result;

use crate::assets::{cache, environment};
use crate::compile::{Binary, CONTROL_PLANE, Module, build_once};
use crate::tools::STRIPPED;

/// Where the programs of a node are.
#[derive(Clone, Debug)]
pub struct NodePrograms {
    /// Directories for a `PATH`, with kubelet, kube-proxy, kube-scheduler, containerd, its shim for runc, ctr and coredns.
    pub path: Vec<PathBuf>,
    /// The directory with the network plugins loopback, bridge and host-local.
    pub cni: PathBuf,
}

impl NodePrograms {
    /// Finds them, after building them if nobody has, which takes minutes and says so on standard error. Blocks.
    ///
    /// # Errors
    /// When there is something to build that cannot be built.
    pub fn find() -> Result<Self> {
        let cache = cache(&environment)?;
        let built = |module| build_once(&module, &cache, &environment);
        Ok(Self { path: vec![built(NODE)?, built(CONTAINERD)?, built(COREDNS)?], cni: built(CNI)? })
    }
}

/// Pinned together with the control plane, whose version they share.
const NODE: Module = Module {
    name: "node",
    binaries: &[
        Binary::of("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        Binary::of("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
        Binary::of("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
    ],
    ..CONTROL_PLANE
};
const CONTAINERD: Module = Module {
    name: "containerd",
    go_mod: include_str!("../tools/containerd/go.mod"),
    go_sum: include_str!("../tools/containerd/go.sum"),
    linker: STRIPPED,
    binaries: &[
        Binary::of("github.com/containerd/containerd/v2/cmd/containerd", "containerd"),
        Binary::of("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "containerd-shim-runc-v2"),
        Binary::of("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
    ],
};
const CNI: Module = Module {
    name: "cni",
    go_mod: include_str!("../tools/cni/go.mod"),
    go_sum: include_str!("../tools/cni/go.sum"),
    linker: STRIPPED,
    binaries: &[
        Binary::of("github.com/containernetworking/plugins/plugins/main/loopback", "loopback"),
        Binary::of("github.com/containernetworking/plugins/plugins/main/bridge", "bridge"),
        Binary::of("github.com/containernetworking/plugins/plugins/ipam/host-local", "host-local"),
    ],
};
const COREDNS: Module = Module {
    name: "coredns",
    go_mod: include_str!("../tools/coredns/go.mod"),
    go_sum: include_str!("../tools/coredns/go.sum"),
    linker: STRIPPED,
    binaries: &[Binary::of("github.com/coredns/coredns", "coredns")],
};
