//! What the accounts of a release may do, beside what they did.

use std::collections::BTreeSet;

use control_plane::AuditEvent;

use crate::release::Release;

/// Rights that no test uses, each with the reason that stands beside its rule.
const EXPLAINED: [(&str, &str); 0] = [];

/// Where, who, verb and resource.
type Right = (String, String, String);

/// `realm` for the namespace of the release, `tenants` for all others.
fn place(release: &Release<'_>, namespace: &str) -> String {
    if namespace == release.namespace { "realm".to_owned() } else { "tenants".to_owned() }
}

/// What the roles of the release grant, as the cluster has them.
pub(crate) async fn granted(release: &Release<'_>) -> BTreeSet<Right> {
    let selector = ["--all-namespaces", "-l", "app.kubernetes.io/instance=snaphook"];
    let roles = release.get(&[&["roles,clusterroles"], &selector[..]].concat()).await;
    let mut granted = BTreeSet::new();
    for role in roles["items"].as_array().unwrap() {
        let account = role["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap();
        // The Job runs as the controller.
        let account = if account == "uninstall" { "controller" } else { account };
        let place = place(release, role["metadata"]["namespace"].as_str().unwrap_or_default());
        for rule in role["rules"].as_array().unwrap() {
            let texts = |field: &str| -> Vec<String> { serde_json::from_value(rule[field].clone()).unwrap() };
            for resource in texts("resources") {
                let rights = texts("verbs").into_iter().map(|verb| format!("{verb} {resource}"));
                granted.extend(rights.map(|right| (place.clone(), account.to_owned(), right)));
            }
        }
    }
    granted
}

/// What its accounts did.
fn used(release: &Release<'_>, events: &[AuditEvent]) -> BTreeSet<Right> {
    let accounts = format!("system:serviceaccount:{}:snaphook-", release.namespace);
    let right = |event: &AuditEvent| {
        let account = event.user.strip_prefix(&accounts)?;
        Some((place(release, &event.namespace), account.to_owned(), event.right()))
    };
    // Discovery needs no rule.
    events.iter().filter(|event| !event.resource.is_empty()).filter_map(right).collect()
}

/// Nothing was refused, and nothing is granted that nobody needs.
pub(crate) fn are_minimal(release: &Release<'_>, granted: &BTreeSet<Right>, events: &[AuditEvent]) {
    let accounts = format!("system:serviceaccount:{}:", release.namespace);
    let refused: Vec<_> =
        events.iter().filter(|event| event.user.starts_with(&accounts) && matches!(event.code, 401 | 403)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used = used(release, events);
    let unused: Vec<_> = granted.difference(&used).filter(|(_, _, right)| !is_explained(right)).collect();
    assert!(unused.is_empty(), "granted and never used: {unused:#?}");
    let beyond: Vec<_> = used.difference(granted).collect();
    assert!(beyond.is_empty(), "used and not granted by the chart: {beyond:#?}");
}

fn is_explained(right: &str) -> bool {
    EXPLAINED.iter().any(|(explained, _)| *explained == right)
}

/// Whether one of the release's accounts may do something, as RBAC sees it.
pub(crate) async fn may(release: &Release<'_>, account: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let user = format!("system:serviceaccount:{}:{account}", release.namespace);
    let arguments = ["auth", "can-i", verb, resource, "--as", &user, "--namespace", namespace];
    let answer = release.cp.kubectl(&arguments).await.unwrap();
    answer.stdout.trim() == "yes"
}
