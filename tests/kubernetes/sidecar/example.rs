//! `examples/sidecar`: what each container has, and that the Pods pass the Pod Security Standard "restricted".

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, Pod, PodSpec},
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use serde_json::{Value, json};
use snaphook::record::bundle;

use crate::harness::{Tenant, until};

const VARIANTS: [&str; 2] =
    [include_str!("../../../examples/sidecar/mounted.yaml"), include_str!("../../../examples/sidecar/api.yaml")];

/// The document of a kind.
fn find(yaml: &str, kind: &str) -> Value {
    let documents = yaml.split("\n---\n").map(|text| serde_yaml::from_str::<Value>(text).unwrap());
    documents.into_iter().find(|document| document["kind"] == kind).unwrap()
}

fn pod(yaml: &str) -> PodSpec {
    let deployment: Deployment = serde_json::from_value(find(yaml, "Deployment")).unwrap();
    deployment.spec.unwrap().template.spec.unwrap()
}

fn mounts(container: &Container) -> BTreeSet<&str> {
    container.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()).collect()
}

#[test]
fn the_app_has_no_token_and_no_key() {
    for (variant, of_sidecar) in VARIANTS.into_iter().zip(["records", "api-access"]) {
        let spec = pod(variant);
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_ne!(spec.share_process_namespace, Some(true));
        let (sidecars, apps) = (spec.init_containers.unwrap(), spec.containers);
        assert_eq!((sidecars.len(), apps.len()), (1, 1));
        assert_eq!(sidecars[0].restart_policy.as_deref(), Some("Always"), "a native sidecar");
        assert_eq!(mounts(&sidecars[0]), [of_sidecar, "queue"].into());
        assert_eq!(mounts(&apps[0]), ["credential", "alerts"].into());
        assert!(apps[0].env.is_none() && apps[0].env_from.is_none());
    }
}

#[test]
fn as_many_bundles_are_named_as_a_realm_has() {
    let wanted: Vec<Value> = (0..bundle::DEFAULT_COUNT).map(|index| bundle::name(index).into()).collect();
    let volumes = json!(pod(VARIANTS[0]).volumes.unwrap());
    let records = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == "records").unwrap();
    let sources = records["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources.iter().map(|source| source["secret"]["name"].clone()).collect::<Vec<_>>(), wanted);
    assert!(sources.iter().all(|source| source["secret"]["optional"] == true));
    let rules = find(VARIANTS[1], "Role")["rules"].clone();
    assert_eq!(
        rules,
        json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"], "resourceNames": wanted }])
    );
}

#[tokio::test]
async fn the_pods_pass_the_restricted_standard() {
    let t = Tenant::alone("restricted-pods").await;
    t.label_namespace(&json!({ "pod-security.kubernetes.io/enforce": "restricted" })).await;
    t.apply("{kind: ServiceAccount, metadata: {name: orders-sidecar}}").await;
    until("the namespace has its default account", || async {
        t.plane.kubectl(&["-n", &t.namespace, "get", "serviceaccount", "default"]).await.unwrap().status.success()
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(t.client.clone(), &t.namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let named = |spec: PodSpec| Pod {
        metadata: ObjectMeta { name: Some("orders".into()), ..ObjectMeta::default() },
        spec: Some(spec),
        ..Pod::default()
    };
    for variant in VARIANTS {
        let mut careless = pod(variant);
        careless.init_containers.as_mut().unwrap()[0].security_context = None;
        let careless = named(careless);
        // The API server sees the label a moment later than it was set.
        until("the standard is enforced", || async {
            let refused = pods.create(&dry, &careless).await.err();
            refused.is_some_and(|error| error.to_string().contains("violates PodSecurity"))
        })
        .await;
        pods.create(&dry, &named(pod(variant))).await.unwrap();
    }
}
