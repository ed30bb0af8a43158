//! Control planes that have the CRDs.

use std::{ops::Deref, path::PathBuf};

use control_plane::ControlPlane;
use tokio::sync::OnceCell;

pub(crate) const CRDS: &str = include_str!("../../../crds/snaphook.dev.yaml");
/// The chart's rules: what each account may do, and why.
pub(crate) const CONTROLLER_RULES: &str = include_str!("../../../charts/snaphook/rules/controller.yaml");
pub(crate) const REALM_RULES: &str = include_str!("../../../charts/snaphook/rules/controller-realm.yaml");
const NAMESPACES_RULES: &str = include_str!("../../../charts/snaphook/rules/controller-namespaces.yaml");
const SERVER_RULES: &str = include_str!("../../../charts/snaphook/rules/server.yaml");
/// The `ServiceAccount` of every controller here.
pub(crate) const ACCOUNT: &str = "snaphook-controller";

static BUSY: OnceCell<ControlPlane> = OnceCell::const_new();

/// A control plane with the CRDs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a>(pub(crate) &'a ControlPlane);

impl Deref for Plane<'_> {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0
    }
}

/// The one with a controller for all namespaces.
pub(crate) async fn busy() -> Plane<'static> {
    let cp = BUSY.get_or_init(|| async { ControlPlane::start().await.unwrap() }).await;
    cp.install_crds(CRDS).await.unwrap();
    Plane(cp)
}

/// The one where each test starts controllers of its own, for its own namespaces.
pub(crate) async fn quiet() -> Plane<'static> {
    let cp = control_plane::shared().await.unwrap();
    cp.install_crds(CRDS).await.unwrap();
    Plane(cp)
}

impl Plane<'_> {
    /// Makes the `ServiceAccount` in `realm` and gives it exactly what the chart's rules say: in `tenants`, or everywhere.
    /// Returns its kubeconfig.
    pub(crate) async fn account(&self, realm: &str, tenants: Option<&[&str]>) -> PathBuf {
        let mut yaml =
            format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {ACCOUNT}, namespace: {realm}}}\n");
        yaml += &role("ClusterRole", "snaphook-controller", "", CONTROLLER_RULES);
        yaml += &role("ClusterRole", "snaphook-controller-namespaces", "", NAMESPACES_RULES);
        yaml += &role("Role", "snaphook-controller-realm", realm, REALM_RULES);
        yaml += &role("Role", "snaphook-server", realm, SERVER_RULES);
        yaml += &binding("RoleBinding", realm, "Role", "snaphook-controller-realm", realm);
        match tenants {
            None => {
                yaml += &binding("ClusterRoleBinding", "", "ClusterRole", "snaphook-controller", realm);
                yaml += &binding("ClusterRoleBinding", "", "ClusterRole", "snaphook-controller-namespaces", realm);
            }
            Some(tenants) => {
                for tenant in tenants {
                    yaml += &binding("RoleBinding", tenant, "ClusterRole", "snaphook-controller", realm);
                }
            }
        }
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_with_input(&apply, &yaml).await.unwrap().success().unwrap();
        self.kubeconfig_for_service_account(realm, ACCOUNT).await.unwrap()
    }

    /// The kubeconfig of a server's `ServiceAccount` in `realm`, which [`Self::account`] has made the Roles for.
    pub(crate) async fn server_account(&self, realm: &str) -> PathBuf {
        let (role, account) = ("--role=snaphook-server", format!("--serviceaccount={realm}:snaphook-server"));
        self.kubectl(&["-n", realm, "create", "serviceaccount", "snaphook-server"]).await.unwrap().success().unwrap();
        let bind = ["-n", realm, "create", "rolebinding", "snaphook-server", role, &account];
        self.kubectl(&bind).await.unwrap().success().unwrap();
        self.kubeconfig_for_service_account(realm, "snaphook-server").await.unwrap()
    }
}

fn role(kind: &str, name: &str, namespace: &str, rules: &str) -> String {
    let within = within(namespace);
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}{within}}}\nrules:\n{rules}"
    )
}

fn within(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") }
}

fn binding(kind: &str, namespace: &str, role_kind: &str, role: &str, realm: &str) -> String {
    let namespace = within(namespace);
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {role}-{realm}{namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {role_kind}, name: {role}}}\n\
         subjects: [{{kind: ServiceAccount, name: {ACCOUNT}, namespace: {realm}}}]\n"
    )
}
