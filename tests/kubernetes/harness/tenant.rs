//! A namespace of a test, as its user sees it, and the records that only operators see.

use std::collections::BTreeMap;

use control_plane::{AuditEvent, Mark};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use snaphook::{
    crd::AppCredential,
    record::{ClientRecord, SecretHash, bundle::index_of},
};

use super::{Controller, Plane, SOON, quiet, shared_controller, until_some};

/// A namespace with a controller that looks after it.
pub(crate) struct Tenant<'a> {
    pub(crate) plane: Plane<'a>,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Where its records are.
    pub(crate) realm: String,
}

impl Tenant<'static> {
    /// One that the shared controller looks after. The policy knows it by `prefix`.
    pub(crate) async fn new(prefix: &str) -> Self {
        let (plane, _, realm) = shared_controller().await;
        Self::on(plane, prefix, realm.to_owned()).await
    }

    /// One on the quiet control plane, with a realm of its own and no controller yet.
    pub(crate) async fn alone(prefix: &str) -> Self {
        let plane = quiet().await;
        let realm = plane.namespace(&format!("realm-of-{prefix}")).await.unwrap();
        Self::on(plane, prefix, realm).await
    }
}

impl<'a> Tenant<'a> {
    pub(crate) async fn on(plane: Plane<'a>, prefix: &str, realm: String) -> Self {
        let namespace = plane.namespace(prefix).await.unwrap();
        Self { plane, client: plane.client().await.unwrap(), namespace, realm }
    }

    /// The configuration of a controller for this namespace alone.
    pub(crate) fn config(&self, more: &str) -> String {
        let (realm, namespace) = (&self.realm, &self.namespace);
        format!(
            "realm: {{issuer: 'https://auth.example.com', namespace: {realm}}}\nwatchNamespaces: [{namespace}]\n{more}"
        )
    }

    /// Starts a controller for this namespace alone, under the chart's rules, without leader election.
    pub(crate) async fn controller(&self) -> Controller {
        let kubeconfig = self.plane.account(&self.realm, Some(&[&self.namespace])).await;
        Controller::start(&self.plane, &kubeconfig, &self.config("leaderElection: {enabled: false}"))
    }

    pub(crate) fn resources(&self) -> Api<AppCredential> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn records(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.realm)
    }

    /// The Secrets of records of a realm of its own, in their order.
    pub(crate) async fn bundles(&self) -> Vec<Secret> {
        let mut found = self.secrets().list(&ListParams::default()).await.unwrap().items;
        found.retain(|secret| index_of(&secret.name_any()).is_some());
        found.sort_by_key(|secret| index_of(&secret.name_any()));
        found
    }

    /// `kubectl apply --server-side` of resources and Secrets, without the start of a `kubectl`.
    pub(crate) async fn apply(&self, yaml: &str) {
        for document in yaml.split("\n---\n") {
            let mut object: Value = serde_yaml::from_str(document).unwrap();
            let (group, version) = match object["kind"].as_str() {
                Some("AppCredential" | "Webhook" | "WebhookCredential") => ("snaphook.dev", "v1alpha1"),
                Some("Ingress") => ("networking.k8s.io", "v1"),
                _ => ("", "v1"),
            };
            let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
            let resource = ApiResource::from_gvk(&kind);
            object["apiVersion"] = json!(resource.api_version);
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
            let params = PatchParams::apply("a-user").force();
            api.patch(&name, &params, &Patch::Apply(object)).await.unwrap();
        }
    }

    /// `kubectl patch --type merge` of an `AppCredential`.
    pub(crate) async fn patch(&self, name: &str, patch: &Value) {
        self.of::<AppCredential>().patch(name, patch).await;
    }

    /// `kubectl patch --type merge` of a Secret, as the field manager `someone`.
    pub(crate) async fn patch_secret(&self, name: &str, patch: &Value) {
        let params = PatchParams { field_manager: Some("someone".into()), ..PatchParams::default() };
        self.secrets().patch(name, &params, &Patch::Merge(patch)).await.unwrap();
    }

    /// `kubectl delete`: returns when the resource is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.of::<AppCredential>().delete(name).await;
    }

    /// Waits until a resource looks as wanted.
    pub(crate) async fn when(&self, name: &str, what: &str, wanted: impl Fn(&AppCredential) -> bool) -> AppCredential {
        self.of().when(name, what, wanted).await
    }

    /// Waits until a resource is `Ready` at its present generation.
    pub(crate) async fn ready(&self, name: &str) -> AppCredential {
        self.of().ready(name).await
    }

    /// Waits until a resource is `Stalled` for a reason, and returns the message.
    pub(crate) async fn stalled(&self, name: &str, reason: &str) -> String {
        self.of::<AppCredential>().refused(name, "Stalled", reason).await
    }

    /// Waits until a resource is `Reconciling` for a reason, and returns the message.
    pub(crate) async fn waiting(&self, name: &str, reason: &str) -> String {
        self.of::<AppCredential>().refused(name, "Reconciling", reason).await
    }

    pub(crate) async fn secret(&self, name: &str) -> Secret {
        self.secrets().get(name).await.unwrap()
    }

    /// Waits until a Secret of an app holds another client secret than `former`.
    pub(crate) async fn new_value(&self, name: &str, former: &str) -> String {
        until_some(&format!("{name} has a new client secret"), || async {
            let secret = self.secrets().get_opt(name).await.unwrap()?;
            Some(value(&secret, "client-secret")).filter(|value| value != former && !value.is_empty())
        })
        .await
    }

    pub(crate) fn record_name(&self, name: &str) -> String {
        self.of::<AppCredential>().record_name(name)
    }

    pub(crate) async fn record(&self, name: &str) -> Option<ClientRecord> {
        self.of::<AppCredential>().record(name).await
    }

    /// Waits until a record looks as wanted.
    pub(crate) async fn record_when(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&ClientRecord) -> bool,
    ) -> ClientRecord {
        self.of::<AppCredential>().record_when(name, what, wanted).await
    }

    /// Events about a resource.
    pub(crate) async fn events(&self, name: &str) -> Vec<Event> {
        let all = Api::<Event>::namespaced(self.client.clone(), &self.namespace).list(&ListParams::default()).await;
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name);
        all.unwrap().items.into_iter().filter(about).collect()
    }

    /// Waits for an Event with this reason, and returns its note.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> String {
        until_some(&format!("an Event {reason} about {name}"), || async {
            let events = self.events(name).await;
            let found = events.into_iter().find(|event| event.reason.as_deref() == Some(reason))?;
            found.note
        })
        .await
    }

    pub(crate) async fn label_namespace(&self, labels: &Value) {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        api.patch(&self.namespace, &PatchParams::default(), &patch).await.unwrap();
    }

    /// What controllers wrote about this namespace since `mark`: in it, and its records. Leases and signing keys are not counted.
    pub(crate) fn writes_since(&self, mark: Mark) -> Vec<AuditEvent> {
        self.writes(self.plane.audit().since(mark).unwrap())
    }

    /// As [`Self::writes_since`], once there are `count` of them: others see what a write did before the audit log has it.
    pub(crate) async fn writes_once(&self, mark: Mark, count: usize) -> Vec<AuditEvent> {
        let enough = |events: &[AuditEvent]| self.writes(events.to_vec()).len() >= count;
        self.writes(self.plane.audit().wait_for(mark, SOON, enough).await.unwrap())
    }

    fn writes(&self, events: Vec<AuditEvent>) -> Vec<AuditEvent> {
        let sentinel = |event: &AuditEvent| event.uri.contains("sentinel") || event.name.contains("sentinel");
        events.into_iter().filter(|event| event.is_write() && self.concerns(event) && !sentinel(event)).collect()
    }

    fn concerns(&self, event: &AuditEvent) -> bool {
        let ours = event.namespace == self.namespace
            || (event.namespace == self.realm && event.name.contains(&format!("-{}-", self.namespace)));
        ours && is_controller(event)
    }

    /// As [`OfKind::touch`](super::of_kind::OfKind::touch), of an `AppCredential`.
    pub(crate) async fn touch(&self, name: &str) {
        self.of::<AppCredential>().touch(name).await;
    }

    /// As [`Self::touch`], where a new one would be refused.
    pub(crate) async fn touch_only(&self, name: &str) {
        self.patch(name, &json!({ "metadata": { "annotations": { "touched": "once" } } })).await;
    }

    /// As [`OfKind::sentinel`](super::of_kind::OfKind::sentinel), of an `AppCredential`.
    pub(crate) async fn sentinel(&self) {
        self.of::<AppCredential>().sentinel().await;
    }
}

/// A request of a controller, not of a test, kubectl or the control plane itself.
fn is_controller(event: &AuditEvent) -> bool {
    event.user.ends_with(":snaphook-controller")
}

/// A value in a Secret, or nothing.
pub(crate) fn value(secret: &Secret, key: &str) -> String {
    let data: Option<&BTreeMap<_, _>> = secret.data.as_ref();
    data.and_then(|data| data.get(key)).map(|value| String::from_utf8(value.0.clone()).unwrap()).unwrap_or_default()
}

/// As records hold it.
pub(crate) fn hash_of(value: &str) -> SecretHash {
    SecretHash::of(value.as_bytes())
}
