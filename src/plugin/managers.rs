//! `kubectl snaphook`, pure: who else looks after a field, and would put it back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// What this plugin writes as.
pub(super) const FIELD_MANAGER: &str = "kubectl-snaphook";

/// The other managers that own a field of the resource itself (`metadata.managedFields`, KEP-555), each once.
pub(super) fn owners(managed: &[ManagedFieldsEntry], path: &[&str]) -> Vec<String> {
    let mut owners: Vec<String> = managed
        .iter()
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| has(&fields.0, path)))
        .filter_map(|entry| entry.manager.clone())
        .filter(|manager| manager != FIELD_MANAGER)
        .collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn has(fields: &Value, path: &[&str]) -> bool {
    let leaf = path.iter().try_fold(fields, |fields, name| fields.get(format!("f:{name}")));
    leaf.is_some()
}

/// What to tell before a field is changed that somebody else looks after.
pub(super) fn warning(managed: &[ManagedFieldsEntry], path: &[&str]) -> Option<String> {
    let owners = owners(managed, path);
    let field = path.join(".");
    let (first, rest) = owners.split_first()?;
    let all = rest.iter().fold(first.clone(), |all, owner| format!("{all}, {owner}"));
    Some(format!(
        "{field} is managed by {all}: if that is Argo CD, Flux or another tool that applies from Git, it puts the old value back. \
         Change it there as well."
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, subresource: Option<&str>, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            subresource: subresource.map(str::to_owned),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn others_that_own_the_very_field_are_named_once() {
        let revoked = json!({"f:spec": {"f:revoked": {}, "f:scopes": {}}});
        let managed = [
            entry("argocd-controller", None, revoked.clone()),
            entry("argocd-controller", None, revoked.clone()),
            entry("kubectl-snaphook", None, revoked.clone()),
            entry("helm", None, json!({"f:spec": {".": {}, "f:scopes": {}}})),
            entry("snaphook", Some("status"), revoked),
        ];
        assert_eq!(owners(&managed, &["spec", "revoked"]), ["argocd-controller"]);
        assert_eq!(owners(&managed, &["spec", "scopes"]), ["argocd-controller", "helm"]);
        assert!(owners(&managed, &["spec", "rotation", "nonce"]).is_empty());
        assert!(
            warning(&managed, &["spec", "revoked"])
                .unwrap()
                .starts_with("spec.revoked is managed by argocd-controller:")
        );
        assert_eq!(warning(&managed, &["spec", "rotation", "nonce"]), None);
    }
}
