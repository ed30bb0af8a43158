//! What the controller shows on its listener for probes and metrics.

use crate::harness::{Controller, Proxy, Tenant, until};

async fn ready(controller: &Controller) -> bool {
    controller.probe("/readyz").await.0 == 200
}

/// The value of a metric, labels included in its name.
async fn metric(controller: &Controller, name: &str) -> Option<f64> {
    let (_, text) = controller.probe("/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn conditions(condition: &str, status: &str, reason: &str) -> String {
    format!(
        "snaphook_resource_conditions{{kind=\"AppCredential\",condition=\"{condition}\",status=\"{status}\",reason=\"{reason}\"}}"
    )
}

#[tokio::test]
async fn metrics_tell_conditions_outcomes_and_who_leads_and_no_name() {
    let t = Tenant::alone("metrics").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let leader = Controller::start(&t.plane, &kubeconfig, &t.config(""));
    leader.logged("leading").await;
    let standby = leader.another(&kubeconfig);
    standby.logged("controller starting").await;
    t.apply("{kind: AppCredential, metadata: {name: one}, spec: {}}").await;
    t.apply("{kind: AppCredential, metadata: {name: two}, spec: {revoked: true}}").await;
    t.apply("{kind: AppCredential, metadata: {name: three}, spec: {scopes: ['snaphook:introspect']}}").await;
    t.ready("one").await;
    t.ready("two").await;
    t.stalled("three", "NotAllowedByPolicy").await;

    for (name, value) in [
        (conditions("Ready", "True", "Active"), 1.0),
        (conditions("Ready", "True", "Revoked"), 1.0),
        (conditions("Ready", "False", "NotAllowedByPolicy"), 1.0),
        (conditions("Stalled", "True", "NotAllowedByPolicy"), 1.0),
        ("snaphook_leading".into(), 1.0),
    ] {
        until(&format!("{name} is {value}"), async || metric(&leader, &name).await == Some(value)).await;
    }
    let runs = metric(&leader, "snaphook_reconciles_total{kind=\"AppCredential\",result=\"ok\"}").await.unwrap();
    let timed = metric(&leader, "snaphook_reconcile_duration_seconds_count{kind=\"AppCredential\"}").await.unwrap();
    assert!(runs >= 3.0 && timed >= runs, "{runs} {timed}");
    let secrets = metric(&leader, "snaphook_event_to_secret_seconds_count{kind=\"AppCredential\"}").await.unwrap();
    assert!(secrets >= 1.0 && secrets <= runs, "{secrets} {runs}");
    assert_eq!(metric(&standby, "snaphook_leading").await, Some(0.0));
    assert_eq!(metric(&standby, &conditions("Ready", "True", "Active")).await, None);
    assert!(ready(&leader).await && ready(&standby).await, "a candidate can take over");
    let (_, text) = leader.probe("/metrics").await;
    assert!(!text.contains(&t.namespace) && text.ends_with("# EOF\n"), "{text}");

    leader.stop().await;
    until("the other leads", async || metric(&standby, "snaphook_leading").await == Some(1.0)).await;
    until("it has seen them", async || metric(&standby, &conditions("Ready", "True", "Active")).await == Some(1.0))
        .await;
}

#[tokio::test]
async fn a_controller_is_ready_when_it_has_listed_everything() {
    let t = Tenant::alone("unready").await;
    let proxy = Proxy::start(&t.plane).await;
    proxy.close(true);
    let controller = Controller::start(&t.plane, &proxy.kubeconfig, &t.config("leaderElection: {enabled: false}"));
    controller.logged("at work").await;
    let (status, body) = controller.probe("/readyz").await;
    assert_eq!((status, &*body), (503, "the resources and their Secrets were not listed completely yet\n"));
    assert_eq!(controller.probe("/livez").await.0, 200);
    proxy.close(false);
    until("it is ready", async || ready(&controller).await).await;
}

/// Each lane waits for what all the others have listed; with more than 30 of them, the futures crate wakes each on its own.
#[tokio::test]
async fn no_lane_of_many_misses_that_the_others_have_listed() {
    let t = Tenant::alone("many").await;
    let mut namespaces = Vec::new();
    for _ in 0..40 {
        namespaces.push(t.plane.namespace("of-many").await.unwrap());
    }
    let resource = |namespace: &String| {
        format!(
            "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {{name: one, namespace: {namespace}, labels: {{one-of: many}}}}\nspec: {{}}\n"
        )
    };
    let yaml = namespaces.iter().map(resource).collect::<Vec<_>>().join("---\n");
    t.plane.kubectl_with_input(&["apply", "-f", "-"], &yaml).await.unwrap().success().unwrap();
    let realm = format!("realm: {{issuer: 'https://auth.example.com', namespace: {}}}", t.realm);
    let more = format!("watchNamespaces: [{}]\nleaderElection: {{enabled: false}}", namespaces.join(", "));
    let controller = Controller::start(&t.plane, &t.plane.kubeconfig(), &format!("{realm}\n{more}\n"));
    controller.logged("at work").await;
    let all = ["wait", "appcredential", "-A", "-l", "one-of=many", "--for=condition=Ready", "--timeout=180s"];
    let ready = t.plane.kubectl(&all).await.unwrap().success().unwrap();
    assert_eq!(ready.lines().count(), namespaces.len(), "{ready}");
    assert!(self::ready(&controller).await);
}
