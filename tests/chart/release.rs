//! Helm, and a release of the chart on a control plane.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::{ControlPlane, Supervised, Tool};
use serde_json::Value;

use crate::{SOON, eventually, server::Server};

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/snaphook");

/// What Helm printed, or what it complained about.
pub(crate) fn helm(cp: &ControlPlane, arguments: &[&str]) -> Result<String, String> {
    // One home for all: they keep nothing there.
    let home = cp.kubeconfig().with_file_name("helm");
    let mut command = Command::new(Tool::Helm.find().unwrap());
    command.env("KUBECONFIG", cp.kubeconfig()).args(arguments);
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, &home);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What the chart makes of values in YAML, for a release `snaphook`.
pub(crate) fn render(cp: &ControlPlane, namespace: &str, values: &str) -> Result<String, String> {
    let file = cp.directory("values").unwrap().join("values.yaml");
    fs::write(&file, values).unwrap();
    helm(cp, &["template", "snaphook", CHART, "--namespace", namespace, "--values", file.to_str().unwrap()])
}

/// The objects in a YAML stream.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---\n").map(|text| serde_yaml::from_str::<Value>(text).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// A release called `snaphook` in a namespace of its own.
pub(crate) struct Release<'a> {
    pub(crate) cp: &'a ControlPlane,
    pub(crate) namespace: String,
    directory: PathBuf,
}

impl<'a> Release<'a> {
    /// Nothing is installed yet, nor is there a namespace.
    pub(crate) fn new(cp: &'a ControlPlane, namespace: &str) -> Self {
        let directory = cp.directory(namespace).unwrap();
        Self { cp, namespace: namespace.to_owned(), directory }
    }

    /// `helm install` or `helm upgrade` with values in YAML.
    pub(crate) fn helm(&self, verb: &str, values: &str) -> String {
        let file = self.directory.join("values.yaml");
        fs::write(&file, values).unwrap();
        let values = ["--create-namespace", "--values", file.to_str().unwrap()];
        let chart = ["--namespace", &self.namespace, verb, "snaphook", CHART];
        helm(self.cp, &[&chart[..], &values].concat()).unwrap()
    }

    /// Nothing here runs Jobs: what the hook does, the tests do.
    pub(crate) fn uninstall(&self) {
        let arguments = ["uninstall", "snaphook", "--namespace", &self.namespace, "--no-hooks"];
        helm(self.cp, &arguments).unwrap();
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        self.cp.kubectl(&all).await.unwrap().success().unwrap()
    }

    pub(crate) async fn get(&self, arguments: &[&str]) -> Value {
        let all = [&["get", "-o", "json", "--ignore-not-found"], arguments].concat();
        serde_json::from_str(&self.kubectl(&all).await).unwrap_or_default()
    }

    /// The names of all objects of some kinds.
    pub(crate) async fn names(&self, kinds: &str) -> Vec<String> {
        let names = self.kubectl(&["get", kinds, "-o", "name"]).await;
        names.lines().map(str::to_owned).collect()
    }

    /// The kubeconfig of one of the chart's accounts, and the configuration that its Pods see.
    async fn as_a_pod(&self, account: &str) -> (PathBuf, PathBuf) {
        let config = self.get(&["configmap", "snaphook-controller"]).await;
        let file = self.directory.join("config.yaml");
        fs::write(&file, config["data"]["config.yaml"].as_str().unwrap()).unwrap();
        let kubeconfig = self.cp.kubeconfig_for_service_account(&self.namespace, account).await.unwrap();
        (kubeconfig, file)
    }

    /// `snaphook` as the controller's Pod runs it, with more arguments.
    async fn command(&self, arguments: &[&str]) -> Command {
        let (kubeconfig, config) = self.as_a_pod("snaphook-controller").await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info").args(arguments).arg("--config").arg(config);
        command
    }

    pub(crate) async fn controller(&self) -> Supervised {
        let command = self.command(&["controller", "--probes-listen", "127.0.0.1:0"]).await;
        let log = self.cp.directory("controller").unwrap().join("log");
        let controller = Supervised::spawn(&command, log).unwrap();
        controller.logged("at work", SOON).await.unwrap();
        controller
    }

    /// The server for tokens and hooks, and its administration socket.
    pub(crate) async fn server(&self) -> (Server, PathBuf) {
        let (kubeconfig, _) = self.as_a_pod("snaphook-server").await;
        let directory = self.cp.directory("hooks").unwrap();
        let path = |name: &str| directory.join(name).display().to_string();
        let (queue, socket) = (path("queue"), path("admin.sock"));
        let hooks = ["--queue", &queue, "--admin-socket", &socket, "--allow-egress", "127.0.0.1"];
        let arguments = [&["--serve", "tokens,hooks"], &hooks[..]].concat();
        (Server::start(self.cp, &kubeconfig, &self.namespace, &arguments).await, socket.into())
    }

    /// What the hook's Job does, as its account; in place of the kubelet, the controller is ended when its Deployment says so.
    pub(crate) async fn run_uninstall(&self, values: &str, controller: &Supervised) {
        let hook = objects(&render(self.cp, &self.namespace, values).unwrap());
        let hook: Vec<_> =
            hook.into_iter().filter(|it| it["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete").collect();
        for role in hook.iter().filter(|object| object["kind"] != "Job") {
            let apply = ["apply", "--server-side", "-f", "-"];
            self.cp.kubectl_with_input(&apply, &role.to_string()).await.unwrap().success().unwrap();
        }
        let job = hook.iter().find(|object| object["kind"] == "Job").unwrap();
        let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap().iter();
        let arguments: Vec<_> =
            arguments.map(|it| it.as_str().unwrap()).filter(|it| !it.starts_with("--config")).collect();
        let job = self.command(&arguments).await;
        self.ends_after(&job, controller).await;
    }

    /// `kubectl snaphook uninstall`, which is for where no hook ran. What it printed.
    pub(crate) async fn run_plugin(&self, controller: &Supervised) -> String {
        let plugin = self.directory.join("kubectl-snaphook");
        symlink(env!("CARGO_BIN_EXE_snaphook"), &plugin).unwrap();
        let mut command = Command::new(plugin);
        command.env("KUBECONFIG", self.cp.kubeconfig());
        command.args(["uninstall", "--yes", "--server-namespace", &self.namespace]);
        self.ends_after(&command, controller).await
    }

    /// Runs a command that scales the controller to nothing and waits for it, which a kubelet would end then.
    async fn ends_after(&self, command: &Command, controller: &Supervised) -> String {
        let log = self.cp.directory("uninstall").unwrap().join("log");
        let process = Supervised::spawn(command, log).unwrap();
        eventually("the controller is scaled to nothing", async || {
            self.get(&["deployment", "snaphook-controller"]).await["spec"]["replicas"] == 0
        })
        .await;
        controller.signal("TERM").unwrap();
        assert!(controller.wait(SOON).await.unwrap().success());
        let exit = process.wait(SOON).await.unwrap();
        assert!(exit.success(), "{exit}: {}", process.log());
        process.log()
    }
}

/// A namespace of a user.
pub(crate) struct Team<'a> {
    pub(crate) cp: &'a ControlPlane,
    pub(crate) namespace: String,
}

impl<'a> Team<'a> {
    pub(crate) async fn new(cp: &'a ControlPlane, prefix: &str) -> Self {
        Self { cp, namespace: cp.namespace(prefix).await.unwrap() }
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        self.cp.kubectl(&all).await.unwrap().success().unwrap()
    }

    /// `kubectl apply` of resources, each `Kind name {spec}`.
    pub(crate) async fn apply(&self, resources: &[(&str, &str, &str)]) {
        for (kind, name, spec) in resources {
            let yaml =
                format!("apiVersion: snaphook.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
            self.apply_yaml(&yaml).await;
        }
    }

    pub(crate) async fn apply_yaml(&self, yaml: &str) {
        let arguments = ["--namespace", &self.namespace, "apply", "--server-side", "-f", "-"];
        self.cp.kubectl_with_input(&arguments, yaml).await.unwrap().success().unwrap();
    }

    pub(crate) async fn patch(&self, resource: &str, spec: &str) {
        let patch = format!("{{\"spec\":{spec}}}");
        self.kubectl(&["patch", resource, "--type=merge", "-p", &patch]).await;
    }

    /// Waits until resources are `Ready` at their present generations.
    pub(crate) async fn ready(&self, resources: &[&str]) {
        self.kubectl(&[&["wait", "--for=condition=Ready", "--timeout=120s"], resources].concat()).await;
    }

    /// The data of a Secret, decoded; nothing where there is none.
    pub(crate) async fn data(&self, secret: &str) -> BTreeMap<String, String> {
        use base64::Engine as _;
        let text = self.kubectl(&["get", "secret", secret, "-o", "json", "--ignore-not-found"]).await;
        let secret: Value = serde_json::from_str(&text).unwrap_or_default();
        let decode = |value: &Value| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let fields = secret["data"].as_object().cloned().unwrap_or_default();
        fields.iter().map(|(key, value)| (key.clone(), decode(value))).collect()
    }

    /// Client id and secret.
    pub(crate) async fn credentials(&self, secret: &str) -> (String, String) {
        let data = self.data(secret).await;
        (data["client-id"].clone(), data["client-secret"].clone())
    }

    /// Waits for an Event with this reason.
    pub(crate) async fn event(&self, reason: &str) {
        let reasons = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
        eventually(reason, async || self.kubectl(&reasons).await.split(' ').any(|it| it == reason)).await;
    }
}

/// What a program that has ended printed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `snaphook` with arguments, such as `deliveries`, at an administration socket.
pub(crate) fn ask(socket: &Path, arguments: &[&str]) -> String {
    output(Command::new(env!("CARGO_BIN_EXE_snaphook")).args(arguments).arg("--socket").arg(socket))
}
