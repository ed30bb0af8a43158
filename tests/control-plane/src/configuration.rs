//! What the three processes are told: their files and their flags.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::audit;
use crate::identity::{self, Kubeconfigs, Tokens};

/// One file for each start of a process.
pub(crate) const LOGS: &str = "logs";
/// Where the API server puts the certificate that it makes for itself.
pub(crate) const CA: &str = "certificates/apiserver.crt";
/// The kubeconfig with every right.
pub(crate) const ADMIN: &str = "kubeconfig";
const CONTROLLER_MANAGER: &str = "controller-manager.kubeconfig";
const TOKENS: &str = "tokens.csv";
const KEY: &str = "service-accounts.pem";
const POLICY: &str = "audit-policy.yaml";
/// What the API server was asked to do.
pub(crate) const AUDIT_LOG: &str = "audit.log";

/// Writes what the processes are told by files.
pub(crate) fn write_files(directory: &Path, tokens: &Tokens, kubeconfigs: &Kubeconfigs) -> Result<()> {
    fs::create_dir(directory.join(LOGS))?;
    fs::write(directory.join(TOKENS), tokens.file())?;
    fs::write(directory.join(KEY), identity::service_account_key()?)?;
    fs::write(directory.join(POLICY), audit::POLICY)?;
    kubeconfigs.for_token(&tokens.admin, &directory.join(ADMIN))?;
    kubeconfigs.for_token(&tokens.controller_manager, &directory.join(CONTROLLER_MANAGER))
}

pub(crate) fn etcd(directory: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        "--unsafe-no-fsync".into(), // nothing here outlives the machine
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

pub(crate) fn apiserver(directory: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".into(),
        // Otherwise it looks for the address of a default route, and there may be none.
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(), // a loopback address is not allowed in Endpoints
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file("certificates")),
        format!("--token-auth-file={}", file(TOKENS)),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file(KEY)),
        format!("--service-account-signing-key-file={}", file(KEY)),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--disable-admission-plugins=ServiceAccount".into(), // Pods need no account, nothing runs them
        "--allow-privileged".into(),
        format!("--audit-policy-file={}", file(POLICY)),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        "--audit-log-mode=blocking".into(), // an event is in the file before the answer ends
        "--audit-log-maxsize=10000".into(), // no rotation: a mark is an offset in one file
    ]
}

pub(crate) fn controller_manager(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--kubeconfig={}", file(CONTROLLER_MANAGER)),
        "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller".into(),
        "--leader-elect=false".into(),
        "--authentication-skip-lookup".into(),
        "--secure-port=0".into(), // nobody asks it anything
        // Many tests end at once: by default it waits for its turn at 20 requests a second.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
    ]
}
