//! What the chart refuses, and what it makes without asking a cluster.

use std::fs;

use crate::release::{CHART, objects, render};

const NAMESPACE: &str = "snaphook-system";

#[tokio::test]
async fn two_renders_are_the_same() {
    let cp = control_plane::shared().await.unwrap();
    for values in
        ["{}", "{config: {realm: {issuer: 'https://a.example'}, policy: {rules: [{namespaces: {names: [a]}}]}}}"]
    {
        assert_eq!(render(cp, NAMESPACE, values).unwrap(), render(cp, NAMESPACE, values).unwrap());
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_place_and_the_reason() {
    let cp = control_plane::shared().await.unwrap();
    let cases = [
        ("controller: {replica: 2}", "'replica' not allowed"),
        ("hook: {}", "'hook' not allowed"),
        ("layout: both", "layout"),
        ("image: {digest: 'sha256:1'}", "digest"),
        ("tokens: {replicas: two}", "replicas"),
        ("namespaces: [Not_a_name]", "namespaces"),
        ("hooks: {replicas: 2}", "hooks.replicas must be 0 or 1: the queue of hooks is embedded"),
        ("config: {polcy: {rules: []}}", "'polcy' not allowed"),
        ("config: {realm: {issuerUrl: 'https://a.example'}}", "'issuerUrl' not allowed"),
        ("config: {policy: {rules: [{scopes: []}]}}", "namespaces"),
        ("config: {signingKeys: {algorithm: HS256}}", "algorithm"),
        ("config: {routes: {parentRefs: [{name: a, sectoinName: b}]}}", "'sectoinName' not allowed"),
        ("config: {watchNamespaces: [a]}", "config.watchNamespaces: use the value `namespaces`"),
        ("config: {realm: {namespace: a}}", "config.realm.namespace is always the release's"),
        ("config: {leaderElection: {enabled: false}}", "config.leaderElection.enabled must not be false"),
        (
            "{namespaces: [a], config: {policy: {rules: [{namespaces: {matchLabels: {a: b}}}]}}}",
            "namespaces.matchLabels needs the right to read all namespaces",
        ),
        ("tokens: {ingress: {enabled: true}}", "config.realm.issuer is missing"),
        (
            "{config: {realm: {issuer: 'https://a.example'}}, tokens: {httpRoute: {enabled: true}}}",
            "tokens.httpRoute.parentRefs must name a Gateway",
        ),
    ];
    for (values, message) in cases {
        let refusal = render(cp, NAMESPACE, values).unwrap_err();
        assert!(refusal.contains(message), "{values}\n→ {refusal}");
    }
    // A chart that depends on this one says these.
    render(cp, NAMESPACE, "{global: {anything: 1}, enabled: true}").unwrap();
}

#[tokio::test]
async fn with_namespaces_there_are_roles_in_these_and_the_releases_alone() {
    let cp = control_plane::shared().await.unwrap();
    let objects = objects(&render(cp, NAMESPACE, "namespaces: [team-a, team-b]").unwrap());
    let mut places: Vec<_> = objects
        .iter()
        .filter(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1")
        .filter(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_null())
        .map(|object| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
            (text(&object["metadata"]["namespace"]), text(&object["kind"]), text(&object["metadata"]["name"]))
        })
        .collect();
    places.sort();
    let expected = [
        (NAMESPACE, "Role", "snaphook-controller-realm"),
        (NAMESPACE, "Role", "snaphook-server"),
        (NAMESPACE, "RoleBinding", "snaphook-controller-realm"),
        (NAMESPACE, "RoleBinding", "snaphook-server"),
        ("team-a", "Role", "snaphook-controller"),
        ("team-a", "RoleBinding", "snaphook-controller"),
        ("team-b", "Role", "snaphook-controller"),
        ("team-b", "RoleBinding", "snaphook-controller"),
    ];
    let expected: Vec<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).into();
    assert_eq!(places, expected);
    let config = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let config = config["data"]["config.yaml"].as_str().unwrap();
    let config = snaphook::config::Config::parse(config).unwrap();
    assert_eq!(config.watch_namespaces, ["team-a", "team-b"]);
    assert_eq!(config.realm.app_url(), format!("http://snaphook-tokens.{NAMESPACE}.svc"));
    assert_eq!(
        config.realm.hooks_url(None),
        format!("http://snaphook-hooks.{NAMESPACE}.svc"),
        "that of tokens has none"
    );
}

#[tokio::test]
async fn the_operators_configuration_goes_through_and_wins_over_what_the_chart_knows() {
    let cp = control_plane::shared().await.unwrap();
    let values = "\
tls: {secretName: cert}
hooks: {service: {port: 9443}}
config:
  realm: {issuer: 'https://a.example', internalUrl: 'https://elsewhere.svc'}
  concurrency: 5
  signingKeys: {algorithm: RS256, rotationInterval: 2592000s}
  routes: {annotations: {redirect: true}, className: null, parentRefs: [{name: gateway}]}
  forwardAuth: {policies: {orders: {audience: a}}}
  realms: [{namespace: b, issuer: 'http://127.0.0.1:8080'}]
  policy: {rules: [{namespaces: {names: [a], matchLabels: {tier: 1}}, webhookLimits: {bytes: 10737418240}}]}
";
    let objects = objects(&render(cp, NAMESPACE, values).unwrap());
    let config = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let config = snaphook::config::Config::parse(config["data"]["config.yaml"].as_str().unwrap()).unwrap();
    assert_eq!((config.realm.issuer.as_str(), config.concurrency), ("https://a.example", 5));
    assert_eq!(config.policy.rules[0].webhook_limits.bytes, Some(10_737_418_240), "no number in scientific notation");
    assert_eq!(config.signing_keys.rotation_interval.as_secs(), 2_592_000);
    assert_eq!(config.routes.annotations["redirect"], "true", "the controller takes it as a text");
    assert_eq!(config.realm.app_url(), "https://elsewhere.svc");
    assert_eq!(config.realm.internal_hooks_url(), format!("https://snaphook-hooks.{NAMESPACE}.svc:9443"));
    assert_eq!(config.realm.hooks_url(None), "https://a.example", "the world posts to where it asks for tokens");
    let service = config.realm.service.unwrap();
    assert_eq!((service.name.as_str(), service.port), ("snaphook-hooks", 9443));
}

#[tokio::test]
async fn alerts_and_dashboard_are_there_where_asked_for_as_they_lie_in_their_files() {
    let cp = control_plane::shared().await.unwrap();
    let of_kind = |values: &str, kind: &str, name: &str| {
        let objects = objects(&render(cp, NAMESPACE, values).unwrap());
        objects.into_iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    };
    let values = "{prometheusRule: {enabled: true, labels: {a: b}}, dashboard: {enabled: true, labels: {c: d}}}";
    let rule = of_kind(values, "PrometheusRule", "snaphook").unwrap();
    let rules: serde_json::Value =
        serde_yaml::from_str(&fs::read_to_string(format!("{CHART}/files/rules.yaml")).unwrap()).unwrap();
    assert_eq!((&rule["spec"], &rule["metadata"]["labels"]["a"]), (&rules, &"b".into()));
    let config = of_kind(values, "ConfigMap", "snaphook-dashboard").unwrap();
    let labels = &config["metadata"]["labels"];
    assert_eq!((&labels["grafana_dashboard"], &labels["c"]), (&"1".into(), &"d".into()));
    let dashboard = fs::read_to_string(format!("{CHART}/files/dashboard.json")).unwrap();
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parsed(config["data"]["snaphook.json"].as_str().unwrap()), parsed(&dashboard));
    assert!(of_kind("{}", "PrometheusRule", "snaphook").is_none());
    assert!(of_kind("{}", "ConfigMap", "snaphook-dashboard").is_none());
}

#[test]
fn chart_and_program_have_one_version() {
    let chart = fs::read_to_string(format!("{CHART}/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")), "{chart}");
}
