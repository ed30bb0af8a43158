//! Flow 1, pure: who may ask for what. Every refusal names the place of the rule that refused.

use std::collections::BTreeMap;

use crate::{
    config::{Namespaces, Policy, Rule},
    glob::{any_glob_matches, glob_matches},
    record::endpoint::Limits,
};

/// The scope that lets a client introspect tokens, granted by policy only.
pub const INTROSPECT_SCOPE: &str = "snaphook:introspect";
const RESERVED_SCOPES: &str = "snaphook:";

/// What the policy says about one namespace.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    rule: Option<(usize, &'a Rule)>,
}

/// The first rule that fits the namespace, or what holds without a rule.
#[must_use]
pub fn for_namespace<'a>(policy: &'a Policy, namespace: &str, labels: &BTreeMap<String, String>) -> Verdict<'a> {
    let rule = policy.rules.iter().enumerate().find(|(_, rule)| fits(&rule.namespaces, namespace, labels));
    Verdict { rule }
}

fn fits(namespaces: &Namespaces, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let Namespaces { names, match_labels } = namespaces;
    names.as_ref().is_none_or(|globs| any_glob_matches(globs, name))
        && match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Verdict<'_> {
    /// May a client of the namespace be granted this scope?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn scope(&self, scope: &str) -> Result<(), String> {
        match self.rule.and_then(|(index, rule)| Some((index, rule.scopes.as_ref()?))) {
            Some((_, globs)) if grants(globs, scope) => Ok(()),
            Some((index, _)) => Err(format!("spec.scopes: {scope:?} is not allowed by policy.rules[{index}].scopes")),
            None if scope.starts_with(RESERVED_SCOPES) => Err(format!(
                "spec.scopes: {scope:?} is not allowed by {}: scopes {RESERVED_SCOPES}* need a policy rule that lists them",
                self.place("scopes")
            )),
            None => Ok(()),
        }
    }

    /// May a client of the namespace ask for this audience?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn audience(&self, audience: &str) -> Result<(), String> {
        match self.rule.and_then(|(index, rule)| Some((index, rule.audiences.as_ref()?))) {
            Some((index, globs)) if !any_glob_matches(globs, audience) => {
                Err(format!("spec.audiences: {audience:?} is not allowed by policy.rules[{index}].audiences"))
            }
            _ => Ok(()),
        }
    }

    /// May a resource of the namespace choose this client id?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn client_id(&self, client_id: &str) -> Result<(), String> {
        if self.rule.is_some_and(|(_, rule)| any_glob_matches(&rule.client_ids, client_id)) {
            return Ok(());
        }
        Err(format!(
            "spec.clientId: {client_id:?} is not allowed by {}; delete the resource and create it without spec.clientId, or ask for a rule",
            self.place("clientIds")
        ))
    }

    /// Is there room for one more `AppCredential` where `older` ones exist?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn quota(&self, older: usize) -> Result<(), String> {
        match self.rule.and_then(|(index, rule)| Some((index, rule.max_app_credentials?))) {
            Some((index, max)) if older >= max as usize => Err(format!(
                "the namespace has {older} older AppCredentials and policy.rules[{index}].maxAppCredentials allows {max}; delete one or ask for more"
            )),
            _ => Ok(()),
        }
    }

    /// Is there room for one more `Webhook` where `older` ones exist?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn webhook_quota(&self, older: usize) -> Result<(), String> {
        match self.rule.and_then(|(index, rule)| Some((index, rule.max_webhooks?))) {
            Some((index, max)) if older >= max as usize => Err(format!(
                "the namespace has {older} older Webhooks and policy.rules[{index}].maxWebhooks allows {max}; delete one or ask for more"
            )),
            _ => Ok(()),
        }
    }

    /// May a route of the namespace have this host, which is not the realm's?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn route_host(&self, host: &str) -> Result<(), String> {
        if self.rule.is_some_and(|(_, rule)| any_glob_matches(&rule.route_hosts, host)) {
            return Ok(());
        }
        let place = self.place("routeHosts");
        Err(format!(
            "spec.route.host: {host:?} is not allowed by {place}; leave it out for the realm's host, or ask for a rule"
        ))
    }

    /// May a route of the namespace have an annotation with this key?
    ///
    /// # Errors
    /// The reason, naming the rule's place.
    pub fn route_annotation(&self, key: &str) -> Result<(), String> {
        if self.rule.is_some_and(|(_, rule)| any_glob_matches(&rule.route_annotations, key)) {
            return Ok(());
        }
        let place = self.place("routeAnnotations");
        Err(format!("spec.route.annotations: {key:?} is not allowed by {place}; leave it out, or ask for a rule"))
    }

    /// What a Webhook of the namespace may hold and take.
    #[must_use]
    pub fn webhook_limits(&self) -> Limits {
        self.rule.map(|(_, rule)| rule.webhook_limits).unwrap_or_default()
    }

    /// For a client that may introspect: the audiences whose tokens it sees.
    #[must_use]
    pub fn introspect_audiences(&self) -> Option<Vec<String>> {
        self.rule.and_then(|(_, rule)| rule.introspect_audiences.clone())
    }

    fn place(&self, field: &str) -> String {
        self.rule.map_or_else(
            || "the policy (no rule fits this namespace)".into(),
            |(index, _)| format!("policy.rules[{index}].{field}"),
        )
    }
}

/// A scope with a meaning of its own is granted only by a glob that names its prefix: `*` is meant for ordinary scopes.
fn grants(globs: &[String], scope: &str) -> bool {
    let reserved = scope.starts_with(RESERVED_SCOPES);
    globs.iter().any(|glob| glob_matches(glob, scope) && (!reserved || glob.starts_with(RESERVED_SCOPES)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn policy(rules: &str) -> Policy {
        Config::parse(&format!("realm: {{issuer: 'https://x'}}\npolicy:\n  rules:\n{rules}")).unwrap().policy
    }

    #[test]
    fn without_a_rule_all_but_reserved_scopes_and_client_ids_is_allowed() {
        let policy = Policy::default();
        let verdict = for_namespace(&policy, "team-a", &BTreeMap::new());
        assert_eq!(verdict.scope("orders:read"), Ok(()));
        assert_eq!(verdict.audience("https://api.example.com"), Ok(()));
        assert_eq!(verdict.quota(100_000), Ok(()));
        assert!(verdict.scope("snaphook:introspect").unwrap_err().contains("no rule fits"));
        assert!(verdict.client_id("billing").unwrap_err().contains("no rule fits"));
    }

    #[test]
    fn the_first_rule_that_fits_is_the_only_one() {
        let policy = policy(
            "  - {namespaces: {names: [team-a]}, scopes: ['orders:*'], maxAppCredentials: 1}\n  - {namespaces: {}, scopes: ['*', 'snaphook:introspect'], clientIds: ['team-*'], audiences: ['https://*']}",
        );
        let first = for_namespace(&policy, "team-a", &BTreeMap::new());
        assert_eq!(first.scope("orders:read"), Ok(()));
        assert!(first.scope("invoices:write").unwrap_err().contains("policy.rules[0].scopes"));
        assert!(first.client_id("team-a").unwrap_err().contains("policy.rules[0].clientIds"));
        assert!(first.quota(1).unwrap_err().contains("policy.rules[0].maxAppCredentials"));
        let second = for_namespace(&policy, "team-b", &BTreeMap::new());
        assert_eq!(second.scope("snaphook:introspect"), Ok(()));
        assert_eq!(second.client_id("team-b"), Ok(()));
        assert!(second.audience("urn:x").unwrap_err().contains("policy.rules[1].audiences"));
    }

    #[test]
    fn routes_have_the_realms_host_and_no_annotations_unless_a_rule_says_so() {
        let policy = policy(
            "  - {namespaces: {names: [a]}, routeHosts: ['*.a.example'], routeAnnotations: ['external-dns.*'], maxWebhooks: 2, webhookLimits: {messages: 7}}",
        );
        let with = for_namespace(&policy, "a", &BTreeMap::new());
        assert_eq!(with.route_host("x.a.example"), Ok(()));
        assert!(with.route_host("a.example").unwrap_err().contains("policy.rules[0].routeHosts"));
        assert_eq!(with.route_annotation("external-dns.alpha.kubernetes.io/ttl"), Ok(()));
        assert!(with.route_annotation("nginx").unwrap_err().contains("policy.rules[0].routeAnnotations"));
        assert_eq!(with.webhook_quota(1), Ok(()));
        assert!(with.webhook_quota(2).unwrap_err().contains("policy.rules[0].maxWebhooks"));
        assert_eq!(with.webhook_limits().messages, Some(7));
        let without = for_namespace(&policy, "b", &BTreeMap::new());
        assert!(without.route_host("x.a.example").unwrap_err().contains("no rule fits"));
        assert!(without.route_annotation("a").is_err());
        assert_eq!(without.webhook_limits(), Limits::default());
    }

    #[test]
    fn labels_choose_namespaces() {
        let policy = policy("  - {namespaces: {matchLabels: {tier: gold}}, scopes: ['snaphook:*']}");
        let gold = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        assert_eq!(for_namespace(&policy, "x", &gold).scope("snaphook:introspect"), Ok(()));
        assert!(for_namespace(&policy, "x", &BTreeMap::new()).scope("snaphook:introspect").is_err());
    }

    #[test]
    fn a_star_does_not_open_reserved_scopes() {
        let policy = policy("  - {namespaces: {}, scopes: ['*']}");
        let verdict = for_namespace(&policy, "x", &BTreeMap::new());
        assert_eq!(verdict.scope("anything"), Ok(()));
        assert!(verdict.scope("snaphook:introspect").unwrap_err().contains("policy.rules[0].scopes"));
    }

    #[test]
    fn a_rule_without_scopes_does_not_open_reserved_ones() {
        let policy = policy("  - {namespaces: {}}");
        assert!(for_namespace(&policy, "x", &BTreeMap::new()).scope("snaphook:introspect").is_err());
    }
}
