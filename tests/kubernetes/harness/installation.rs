//! A realm and a team of its own for each test, with a controller and a server as processes, driven as a user would: kubectl and curl.

use std::{fs, path::PathBuf, process::Command};

use control_plane::{ControlPlane, Supervised};
use serde_json::Value;

use super::{CRDS, SOON, Server, eventually};

pub(crate) struct Installation<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) realm: String,
    pub(crate) team: String,
    directory: PathBuf,
}

impl<'a> Installation<'a> {
    /// Namespaces and a configuration; no process yet.
    pub(crate) async fn new(plane: &'a ControlPlane, name: &str) -> Self {
        plane.install_crds(CRDS).await.unwrap();
        let installation = Self {
            plane,
            realm: plane.namespace(&format!("{name}-realm")).await.unwrap(),
            team: plane.namespace(&format!("{name}-team")).await.unwrap(),
            directory: plane.directory(name).unwrap(),
        };
        installation.configure("");
        installation
    }

    pub(crate) async fn shared(name: &str) -> Installation<'static> {
        Installation::new(control_plane::shared().await.unwrap(), name).await
    }

    /// Writes the operator's configuration; `rules` are policy rules, each on a line that begins with `- `.
    pub(crate) fn configure(&self, rules: &str) {
        let Self { realm, team, .. } = self;
        let policy = if rules.is_empty() { String::new() } else { format!("policy:\n  rules:\n  {rules}\n") };
        let yaml = format!(
            "realm: {{namespace: {realm}, issuer: 'https://auth.example.com'}}\nwatchNamespaces: [{team}]\nsigningKeys: {{algorithm: EdDSA}}\n{policy}"
        );
        let fresh = self.directory.join("config.fresh");
        fs::write(&fresh, yaml).unwrap();
        fs::rename(fresh, self.directory.join("config.yaml")).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", self.plane.kubeconfig()).env("RUST_LOG", "info");
        command
    }

    pub(crate) async fn controller(&self, identity: &str) -> Supervised {
        let process = self.candidate(identity, &self.plane.kubeconfig());
        process.logged("at work", SOON).await.unwrap();
        process
    }

    fn candidate(&self, identity: &str, kubeconfig: &std::path::Path) -> Supervised {
        let mut command = self.command();
        command.env("KUBECONFIG", kubeconfig).args(["controller", "--identity", identity]);
        command.args(["--probes-listen", "127.0.0.1:0", "--config"]).arg(self.directory.join("config.yaml"));
        Supervised::spawn(&command, self.directory.join(format!("{identity}.log"))).unwrap()
    }

    pub(crate) async fn server(&self, arguments: &[&str]) -> Server {
        Server::start(self.plane, &self.plane.kubeconfig(), &self.realm, arguments).await
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--namespace", &self.team];
        all.extend(arguments);
        self.plane.kubectl(&all).await.unwrap().success().unwrap()
    }

    pub(crate) async fn apply(&self, yaml: &str) {
        let arguments = ["--namespace", &self.team, "apply", "-f", "-"];
        self.plane.kubectl_with_input(&arguments, yaml).await.unwrap().success().unwrap();
    }

    /// Applies an `AppCredential` with this spec, in flow style.
    pub(crate) async fn declare(&self, name: &str, spec: &str) {
        self.apply(&format!(
            "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        ))
        .await;
    }

    pub(crate) async fn patch(&self, name: &str, spec: &str) {
        let patch = format!("{{\"spec\":{spec}}}");
        self.kubectl(&["patch", "appcredential", name, "--type=merge", "-p", &patch]).await;
    }

    pub(crate) async fn ready(&self, name: &str) {
        let resource = format!("appcredential/{name}");
        self.kubectl(&["wait", "--for=condition=Ready", &resource, "--timeout=60s"]).await;
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let all = ["--namespace", &self.team, "get", kind, name, "-o", "json", "--ignore-not-found"];
        let text = self.plane.kubectl(&all).await.unwrap().success().unwrap();
        serde_json::from_str(&text).ok()
    }

    /// The condition `Ready`: reason and message.
    pub(crate) async fn verdict(&self, name: &str) -> (String, String) {
        let resource = self.get("appcredential", name).await.unwrap_or_default();
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }

    pub(crate) async fn until_reason(&self, name: &str, reason: &str) -> String {
        let what = format!("{name} is {reason}");
        eventually(&what, async || self.verdict(name).await.0 == reason).await;
        self.verdict(name).await.1
    }

    /// The data of a Secret, decoded.
    pub(crate) async fn data(&self, secret: &str) -> std::collections::BTreeMap<String, String> {
        let secret = self.get("secret", secret).await.unwrap_or_default();
        let decode = |value: &Value| {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let fields = secret["data"].as_object().cloned().unwrap_or_default();
        fields.iter().map(|(key, value)| (key.clone(), decode(value))).collect()
    }

    pub(crate) async fn credentials(&self, secret: &str) -> (String, String) {
        let data = self.data(secret).await;
        (data["client-id"].clone(), data["client-secret"].clone())
    }

    /// The client record of a resource.
    pub(crate) async fn record(&self, name: &str) -> Option<Value> {
        use base64::Engine as _;
        let secret = snaphook::record::secret_name("AppCredential", &self.team, name);
        let arguments = [
            "--namespace",
            &self.realm,
            "get",
            "secret",
            &secret,
            "--ignore-not-found",
            "-o",
            "jsonpath={.data.record\\.json}",
        ];
        let text = self.plane.kubectl(&arguments).await.unwrap().success().unwrap();
        let json = base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap();
        serde_json::from_slice(&json).ok()
    }
}
