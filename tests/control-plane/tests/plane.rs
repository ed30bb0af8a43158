//! The control plane as tests use it: a real one.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not count their functions as such")]

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::{AuditEvent, ControlPlane, shared};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchParams};
use serde_json::{Value, from_value, json};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(30);
const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kites.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Kite, plural: kites, singular: kite}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    from_value(value).unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tests_share_a_control_plane_but_no_namespace() {
    let cp = shared().await.unwrap();
    let (one, other) = (cp.namespace("same").await.unwrap(), cp.namespace("same").await.unwrap());
    assert_ne!(one, other);
    assert!(std::ptr::eq(cp, shared().await.unwrap()));
    let version = cp.client().await.unwrap().apiserver_version().await.unwrap();
    assert_ne!(version.minor, "", "clients refuse a server of no version");
}

#[tokio::test]
async fn the_audit_log_says_who_did_what() {
    let cp = shared().await.unwrap();
    let namespace = cp.namespace("audit").await.unwrap();
    let before = cp.audit().mark().unwrap();
    let secrets = Api::<Secret>::namespaced(cp.client().await.unwrap(), &namespace);
    secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": "mine"}}))).await.unwrap();
    secrets.get("mine").await.unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    secrets.create(&dry, &object(json!({"metadata": {"name": "dry"}}))).await.unwrap();
    secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": "mine"}}))).await.unwrap_err();
    let _watch = secrets.watch(&WatchParams::default(), "0").await.unwrap();

    let here = |event: &AuditEvent| event.namespace == namespace && event.resource == "secrets";
    let events = cp.audit().since(before).unwrap();
    let events: Vec<_> = events.iter().filter(|event| here(event)).collect();
    let told: Vec<_> = events.iter().map(|e| (e.verb.as_str(), e.name.as_str(), e.code, e.is_write())).collect();
    let expected = [
        ("create", "mine", 201, true),
        ("get", "mine", 200, false),
        ("create", "dry", 201, false),
        ("create", "mine", 409, true),
        ("watch", "", 200, false),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.user == "admin" && event.received <= event.time));
    assert!(cp.audit().since(cp.audit().mark().unwrap()).unwrap().iter().all(|event| !here(event)));
}

#[tokio::test]
async fn a_service_account_may_what_rbac_says_and_the_audit_log_proves_it() {
    let cp = shared().await.unwrap();
    let (namespace, admin) = (cp.namespace("rbac").await.unwrap(), cp.client().await.unwrap());
    let accounts = Api::<ServiceAccount>::namespaced(admin, &namespace);
    accounts.create(&PostParams::default(), &object(json!({"metadata": {"name": "reader"}}))).await.unwrap();
    let account = format!("{namespace}:reader");
    for grant in [
        ["role", "secrets", "--verb=list", "--resource=secrets"],
        ["rolebinding", "secrets", "--role=secrets", &format!("--serviceaccount={account}")],
    ] {
        let created = cp.kubectl(&[&["create", "-n", &namespace][..], &grant].concat()).await.unwrap();
        assert!(created.status.success(), "{created:?}");
    }
    let kubeconfig = cp.kubeconfig_for_service_account(&namespace, "reader").await.unwrap();
    let secrets = Api::<Secret>::namespaced(cp.client_for(&kubeconfig).await.unwrap(), &namespace);
    let before = cp.audit().mark().unwrap();
    until("the API server learns of the role", || async { secrets.list(&ListParams::default()).await.is_ok() }).await;
    secrets.get("any").await.unwrap_err();
    let _ = secrets.watch(&WatchParams::default(), "0").await;

    let user = format!("system:serviceaccount:{account}");
    let events = cp.audit().since(before).unwrap();
    let codes = |verb| events.iter().filter(|e| e.user == user && e.verb == verb).map(|e| e.code).collect::<Vec<_>>();
    assert_eq!(codes("list").last(), Some(&200));
    assert_eq!(codes("get"), [403]);
    assert_eq!(codes("watch"), [403], "a refused watch is there, once");
}

#[tokio::test]
async fn any_user_can_be_had() {
    let cp = shared().await.unwrap();
    let kubeconfig = cp.kubeconfig_for("jane", &["ops", "staff"]).unwrap();
    let whoami =
        cp.kubectl(&["auth", "whoami", "-o", "json", "--kubeconfig", &kubeconfig.display().to_string()]).await.unwrap();
    let whoami: Value = serde_json::from_str(&whoami.stdout).unwrap();
    let user = &whoami["status"]["userInfo"];
    assert_eq!(
        (&user["username"], &user["groups"]),
        (&json!("jane"), &json!(["ops", "staff", "system:authenticated"]))
    );
    let before = cp.audit().mark().unwrap();
    let namespaces = Api::<Namespace>::all(cp.client_for(&kubeconfig).await.unwrap());
    namespaces.list(&ListParams::default()).await.unwrap_err();
    let events = cp.audit().since(before).unwrap();
    assert!(events.iter().any(|event| event.user == "jane" && event.code == 403), "{events:#?}");
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner_and_a_namespace_with_all_in_it() {
    let cp = shared().await.unwrap();
    let (namespace, client) = (cp.namespace("gc").await.unwrap(), cp.client().await.unwrap());
    let maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
    let owner = maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "owner"}}))).await.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid});
    let dependent = json!({"metadata": {"name": "owned", "ownerReferences": [reference]}});
    secrets.create(&PostParams::default(), &object(dependent)).await.unwrap();
    secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": "free"}}))).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    until("collected", || async { secrets.get_opt("owned").await.unwrap().is_none() }).await;
    assert!(secrets.get_opt("free").await.unwrap().is_some());

    let namespaces = Api::<Namespace>::all(client);
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    until("the namespace has gone", || async { namespaces.get_opt(&namespace).await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn what_a_custom_resource_owns_goes_with_it_from_the_start() {
    let cp = shared().await.unwrap();
    cp.install_crds(CRD).await.unwrap();
    let namespace = cp.namespace("crd").await.unwrap();
    let manifest = "{apiVersion: example.test/v1, kind: Kite, metadata: {name: red}}";
    cp.kubectl_with_input(&["create", "-n", &namespace, "-f", "-"], manifest).await.unwrap().success().unwrap();
    let uid = cp
        .kubectl(&["get", "kite", "red", "-n", &namespace, "-o", "jsonpath={.metadata.uid}"])
        .await
        .unwrap()
        .success();
    let secrets = Api::<Secret>::namespaced(cp.client().await.unwrap(), &namespace);
    let reference = json!({"apiVersion": "example.test/v1", "kind": "Kite", "name": "red", "uid": uid.unwrap()});
    let string = json!({"metadata": {"name": "string", "ownerReferences": [reference]}});
    secrets.create(&PostParams::default(), &object(string)).await.unwrap();
    cp.kubectl(&["delete", "kite", "red", "-n", &namespace]).await.unwrap().success().unwrap();
    until("collected", || async { secrets.get_opt("string").await.unwrap().is_none() }).await;
    cp.install_crds(CRD).await.unwrap();
}

#[tokio::test]
async fn kubectl_applies_what_it_is_given() {
    let cp = shared().await.unwrap();
    let namespace = cp.namespace("kubectl").await.unwrap();
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: from-kubectl}}";
    let applied = cp.kubectl_with_input(&["apply", "-n", &namespace, "-f", "-"], manifest).await.unwrap();
    assert_eq!(
        (applied.status.success(), applied.stdout.as_str()),
        (true, "configmap/from-kubectl created\n"),
        "{applied:?}"
    );
    let refused = cp.kubectl(&["get", "configmap", "-n", &namespace, "nothing"]).await.unwrap();
    assert!(!refused.status.success() && refused.stderr.contains("NotFound"), "{refused:?}");
}

#[tokio::test]
async fn the_api_server_can_freeze_end_and_come_back_on_its_port() {
    let cp = ControlPlane::start().await.unwrap();
    let (namespace, client) = (cp.namespace("outage").await.unwrap(), cp.client().await.unwrap());
    let namespaces = Api::<Namespace>::all(client);

    cp.apiserver().freeze().unwrap();
    let asked = timeout(Duration::from_millis(300), namespaces.get(&namespace)).await;
    assert!(asked.is_err(), "no answer, and no error either: {asked:?}");
    cp.apiserver().thaw().unwrap();
    timeout(SOON, namespaces.get(&namespace)).await.unwrap().unwrap();

    let before = cp.apiserver().process().pid();
    assert_eq!(cp.apiserver().kill().await.unwrap().signal(), Some(9));
    assert!(namespaces.get(&namespace).await.is_err());
    cp.apiserver().start().await.unwrap();
    assert_ne!(cp.apiserver().process().pid(), before);
    namespaces.get(&namespace).await.unwrap();

    cp.apiserver().restart().await.unwrap();
    namespaces.get(&namespace).await.unwrap();
    cp.etcd().restart().await.unwrap();
    cp.controller_manager().restart().await.unwrap();
    cp.apiserver().ready().await.unwrap();
    namespaces.get(&namespace).await.unwrap();

    let directory = cp.kubeconfig();
    cp.stop().await.unwrap();
    assert!(!directory.parent().unwrap().exists());
}

#[tokio::test]
async fn run_by_hand_it_stays_without_standard_input_and_leaves_nothing_when_killed() {
    let program =
        || Command::new(env!("CARGO_BIN_EXE_control-plane")).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut program = program().unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    let export = said.next().unwrap();
    let kubeconfig = PathBuf::from(export.strip_prefix("export KUBECONFIG='").unwrap().strip_suffix('\'').unwrap());
    assert!(said.any(|line| line.contains("is ready")));
    assert!(program.try_wait().unwrap().is_none() && kubeconfig.exists());
    program.kill().unwrap(); // SIGKILL
    program.wait().unwrap();
    until("the directory has gone, and so the processes", || async { !kubeconfig.parent().unwrap().exists() }).await;
}
