//! A release comes, changes and goes; and the same without Helm in the cluster.

use control_plane::ControlPlane;
use serde_json::Value;

use crate::{
    eventually,
    release::{CHART, Release, Team, helm},
};

const KINDS: &str =
    "deployments,statefulsets,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets";

/// Name and version of every object of the release.
async fn versions(release: &Release<'_>) -> Vec<(String, String)> {
    let all = release.get(&[KINDS, "-l", "app.kubernetes.io/instance=snaphook"]).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // Where there is nothing, kubectl says nothing.
    let items = all["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| {
            (
                format!("{}/{}", text(&item["kind"]), text(&item["metadata"]["name"])),
                text(&item["metadata"]["resourceVersion"]),
            )
        })
        .collect()
}

async fn crds(cp: &ControlPlane) -> usize {
    let names = cp.kubectl(&["get", "crds", "-o", "name"]).await.unwrap().success().unwrap();
    names.lines().filter(|name| name.ends_with(".snaphook.dev")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_installed_upgraded_rolled_back_and_uninstalled_and_the_crds_stay_as_long_as_they_are_kept() {
    let cp = ControlPlane::start().await.unwrap();
    let release = Release::new(&cp, "snaphook-system");
    release.helm("install", "{}");
    let objects: Vec<_> = versions(&release).await.into_iter().map(|(name, _)| name).collect();
    for object in ["Deployment/snaphook-controller", "Deployment/snaphook-tokens", "StatefulSet/snaphook-hooks"] {
        assert!(objects.iter().any(|name| name == object), "{objects:?}");
    }
    assert_eq!(crds(&cp).await, 3);

    let generation =
        async || release.get(&["deployment", "snaphook-controller"]).await["metadata"]["generation"].clone();
    let first = generation().await;
    release.helm("upgrade", "config: {concurrency: 4}");
    let config = release.get(&["configmap", "snaphook-controller"]).await;
    assert!(config["data"]["config.yaml"].as_str().unwrap().contains("concurrency: 4"));
    assert_eq!(generation().await, first, "a running controller reads it again: no Pod is restarted for it");
    release.helm("upgrade", "config: {leaderElection: {leaseDuration: 30s}}");
    assert_ne!(generation().await, first, "what is not read again restarts the Pods");
    release.helm("upgrade", "controller: {replicas: 2}");
    assert_eq!(release.names("poddisruptionbudgets").await.len(), 2);
    helm(&cp, &["--namespace", &release.namespace, "rollback", "snaphook", "1"]).unwrap();
    let back: Vec<_> = versions(&release).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(back, objects);

    let team = Team::new(&cp, "team").await;
    team.apply(&[("AppCredential", "app", "{}")]).await;
    release.uninstall();
    eventually("everything goes", async || versions(&release).await.is_empty()).await;
    assert_eq!(crds(&cp).await, 3, "kept");
    team.kubectl(&["get", "appcredential/app"]).await;

    release.helm("install", "crds: {keep: false}");
    release.uninstall();
    eventually("the CRDs go", async || crds(&cp).await == 0).await;
    cp.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_hook_ran_a_person_does_the_same_and_nothing_hangs() {
    let cp = ControlPlane::start().await.unwrap();
    let release = Release::new(&cp, "snaphook-here");
    release.helm("install", "{}");
    let team = Team::new(&cp, "team").await;
    let controller = release.controller().await;
    team.apply(&[("AppCredential", "app", "{}")]).await;
    team.ready(&["appcredential/app"]).await;
    let said = release.run_plugin(&controller).await;
    assert!(said.contains("1 would hang") && said.contains(" 1 finalizers and 0 records were removed"), "{said}");
    release.uninstall();
    team.kubectl(&["delete", "appcredential/app", "--timeout=60s"]).await;
    cp.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_can_be_applied_and_applying_it_again_changes_nothing() {
    let cp = ControlPlane::start().await.unwrap();
    let release = Release::new(&cp, "gitops");
    cp.kubectl(&["create", "namespace", "gitops"]).await.unwrap().success().unwrap();
    let rendered = helm(&cp, &["template", "snaphook", CHART, "--namespace", "gitops", "--no-hooks"]).unwrap();
    let apply = async || {
        let arguments = ["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"];
        cp.kubectl_with_input(&arguments, &rendered).await.unwrap().success().unwrap()
    };
    apply().await;
    let first = versions(&release).await;
    assert!(first.len() >= 12, "{first:?}");
    apply().await;
    assert_eq!(versions(&release).await, first);
    assert_eq!(crds(&cp).await, 3);
    cp.stop().await.unwrap();
}
