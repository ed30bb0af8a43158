//! The whole path with nothing but what the chart grants: the chart's own accounts run the controller, the server and the Job that
//! goes before an uninstallation, as local processes.

use std::process::Command;

use control_plane::{ControlPlane, Mark, Supervised, gateway_api_crds};
use serde_json::json;

use crate::{
    SOON, eventually,
    release::{Release, Team, ask, output},
    rights,
    server::Server,
};

const CREDENTIALS: &str = "appcredentials,webhooks,webhookcredentials";

/// A receiver of deliveries, and its URL.
async fn receiver(cp: &ControlPlane) -> (Supervised, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.args(["receive", "--listen", "127.0.0.1:0"]);
    let receiver = Supervised::spawn(&command, cp.directory("receiver").unwrap().join("log")).unwrap();
    receiver.logged("Receiving on ", SOON).await.unwrap();
    let log = receiver.log();
    let url = log.split_once("Receiving on ").and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
    (receiver, url.to_owned())
}

/// One of each kind; the Webhook delivers to `url`, and another one to a Service.
async fn declare(team: &Team<'_>, url: &str) {
    let account = "{apiVersion: v1, kind: Secret, metadata: {name: account, labels: {snaphook.dev/allow-reference: 'true'}}, stringData: {password: epona}}";
    let service = "{apiVersion: v1, kind: Service, metadata: {name: receiver}, spec: {selector: {app: receiver}, ports: [{port: 80}]}}";
    team.apply_yaml(account).await;
    team.apply_yaml(service).await;
    let hook =
        format!("{{verification: {{type: Bearer}}, delivery: {{url: '{url}/in', credentialRef: {{name: pager}}}}}}");
    team.apply(&[
        ("AppCredential", "app", "{scopes: ['orders:read'], rotation: {nonce: '0'}}"),
        ("AppCredential", "api", "{scopes: ['snaphook:introspect']}"),
        ("WebhookCredential", "pager", "{type: ClientIdAndSecret, fieldName: clientid, location: Header, clientId: link, clientSecretFrom: {secretKeyRef: {name: account, key: password}}}"),
        ("Webhook", "hook", &hook),
        ("Webhook", "inside", "{verification: {type: GitHub}, delivery: {service: {name: receiver, port: 80}}}"),
        ("Webhook", "outside", "{verification: {type: GitHub}, delivery: {service: {name: receiver, port: 80}}, route: {type: HTTPRoute, parentRefs: [{name: public}]}}"),
    ])
    .await;
    team.ready(&[
        "appcredential/app",
        "appcredential/api",
        "webhookcredential/pager",
        "webhook/hook",
        "webhook/inside",
    ])
    .await;
    // No Gateway takes the route; it is there all the same.
    let route = ["wait", "--for=jsonpath={.status.route.kind}=HTTPRoute", "--timeout=120s", "webhook/outside"];
    team.kubectl(&route).await;
}

/// Posts to the Webhook `hook`, as its sender would.
async fn post(team: &Team<'_>, server: &Server) {
    let secret = team.data("hook-webhook").await;
    let (_, id) = secret["url"].rsplit_once("/hooks/").unwrap();
    let (url, bearer) =
        (format!("http://{}/hooks/{id}", server.public), format!("Authorization: Bearer {}", secret["signing-secret"]));
    output(Command::new("curl").args(["-sf", "-m", "20", "-H", &bearer, "--json", "{\"a\":1}", &url]));
}

/// Tokens are issued, checked and revoked; posts arrive.
async fn use_them(team: &Team<'_>, server: &Server, socket: &std::path::Path, receiver: &Supervised) {
    let (app, api) = (team.credentials("app-credential").await, team.credentials("api-credential").await);
    eventually("both are known", async || server.token(&app).0 == 200 && server.token(&api).0 == 200).await;
    let token = server.access_token(&app);
    assert_eq!(server.introspect(&api, &token).1["active"], true);
    post(team, server).await;
    receiver.logged("clientid: bGlua2Vwb25h", SOON).await.unwrap();
    eventually("it is listed as delivered", async || ask(socket, &["deliveries"]).contains("delivered")).await;
    team.patch("appcredential/app", "{\"revoked\":true}").await;
    eventually("the token is dead", async || server.introspect(&api, &token).1 == json!({ "active": false })).await;
    team.patch("appcredential/app", "{\"revoked\":null}").await;
    eventually("tokens are issued again", async || server.token(&app).0 == 200).await;
}

/// Every edit that takes a right of its own.
async fn edit(team: &Team<'_>, release: &Release<'_>, mark: Mark) {
    for nonce in ["1", "2"] {
        let former = team.credentials("app-credential").await;
        team.patch("appcredential/app", &format!("{{\"rotation\":{{\"nonce\":\"{nonce}\"}}}}")).await;
        eventually("rotated", async || team.credentials("app-credential").await != former).await;
        team.event("Rotated").await;
    }
    // One Event twice is one Event that is counted.
    let counted = |events: &[control_plane::AuditEvent]| events.iter().any(|event| event.right() == "patch events");
    release.cp.audit().wait_for(mark, SOON, counted).await.unwrap();
    team.patch("appcredential/app", "{\"secretTemplate\":{\"name\":\"renamed\"}}").await;
    eventually("renamed", async || team.data("app-credential").await.is_empty()).await;
    // A route has the former URL beside the new one.
    let rotated = "{\"rotation\":{\"urlNonce\":\"1\"}}";
    for (resource, spec) in [
        ("webhookcredential/pager", "{\"clientId\":\"zelda\"}"),
        ("webhook/hook", "{\"displayName\":\"A hook\"}"),
        ("webhook/inside", rotated),
        ("webhook/outside", rotated),
    ] {
        team.patch(resource, spec).await;
        let patched = ["wait", "--for=jsonpath={.status.observedGeneration}=2", "--timeout=120s", resource];
        team.kubectl(&patched).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_accounts_do_all_the_work_with_no_right_too_many_and_a_new_release_goes_on_where_the_last_one_ended()
{
    let cp = ControlPlane::start().await.unwrap();
    let routes = gateway_api_crds().unwrap().join("gateway.networking.k8s.io_httproutes.yaml");
    cp.install_crds(&std::fs::read_to_string(routes).unwrap()).await.unwrap();
    let release = Release::new(&cp, "snaphook-system");
    let values = "config: {realm: {issuer: 'https://auth.example.com'}, policy: {rules: [{namespaces: {matchLabels: {team: a}}, scopes: ['*', 'snaphook:*']}]}}";
    let mark = cp.audit().mark().unwrap();
    release.helm("install", values);
    let team = Team::new(&cp, "team").await;
    cp.kubectl(&["label", "namespace", &team.namespace, "team=a"]).await.unwrap().success().unwrap();
    let controller = release.controller().await;
    let (server, socket) = release.server().await;
    let (receiver, url) = receiver(&cp).await;
    declare(&team, &url).await;
    use_them(&team, &server, &socket, &receiver).await;
    edit(&team, &release, mark).await;
    team.kubectl(&["delete", "webhook/inside", "webhook/outside", "--timeout=120s"]).await;
    let (secret, records) = (team.data("renamed").await, release.names("secrets").await);
    let hook = team.data("hook-webhook").await;

    release.run_uninstall(values, &controller).await;
    let granted = rights::granted(&release).await;
    rights::are_minimal(&release, &granted, &cp.audit().since(mark).unwrap());
    let finalizers = ["get", CREDENTIALS, "-o", "jsonpath={.items[*].metadata.finalizers}"];
    assert_eq!(team.kubectl(&finalizers).await, "", "nothing would hang");
    assert_eq!(release.names("leases").await, Vec::<String>::new());
    release.uninstall();
    let records: Vec<_> = records.into_iter().filter(|name| !name.contains("sh.helm.")).collect();
    assert_eq!(release.names("secrets").await, records, "what a new release goes on with");
    team.kubectl(&["delete", "appcredential/api", "--timeout=60s"]).await;

    release.helm("install", values);
    let controller = release.controller().await;
    team.apply(&[("AppCredential", "new", "{}")]).await;
    team.ready(&["appcredential/app", "appcredential/new", "webhook/hook"]).await;
    assert_eq!((team.data("renamed").await, team.data("hook-webhook").await), (secret, hook));
    let app = team.credentials("renamed").await;
    eventually("the same secret works", async || server.token(&app).0 == 200).await;
    eventually("the record of what was deleted meanwhile is swept", async || {
        !release.names("secrets").await.iter().any(|name| name.contains("-api-"))
    })
    .await;
    team.kubectl(&["delete", CREDENTIALS, "--all", "--timeout=120s"]).await;
    drop((controller, server, receiver));
    cp.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_for_some_namespaces_has_no_right_elsewhere_and_goes_with_everything_but_what_is_retained() {
    let cp = ControlPlane::start().await.unwrap();
    let (release, team, stranger) =
        (Release::new(&cp, "snaphook-system"), Team::new(&cp, "team").await, Team::new(&cp, "stranger").await);
    let name = &team.namespace;
    let rule = format!("{{namespaces: {{names: [{name}]}}, scopes: ['*', 'snaphook:*']}}");
    let values = format!("{{namespaces: [{name}], crds: {{keep: false}}, config: {{policy: {{rules: [{rule}]}}}}}}");
    let mark = cp.audit().mark().unwrap();
    release.helm("install", &values);
    // They are there; now the garbage collector knows them too, as it does after half a minute.
    cp.install_crds(include_str!("../../crds/snaphook.dev.yaml")).await.unwrap();
    let controller = release.controller().await;
    let (server, socket) = release.server().await;
    let (receiver, url) = receiver(&cp).await;
    stranger.apply(&[("AppCredential", "app", "{}")]).await;
    declare(&team, &url).await;
    team.apply(&[("AppCredential", "kept", "{deletionPolicy: Retain}")]).await;
    team.ready(&["appcredential/kept"]).await;
    post(&team, &server).await;
    receiver.logged("clientid: bGlua2Vwb25h", SOON).await.unwrap();
    assert!(ask(&socket, &["deliveries"]).contains(&team.namespace));

    for account in ["snaphook-controller", "snaphook-server"] {
        for namespace in [&stranger.namespace, "kube-system"] {
            for verb in ["get", "list", "watch", "create", "patch", "delete"] {
                assert!(
                    !rights::may(&release, account, verb, "secrets", namespace).await,
                    "{account} may {verb} in {namespace}"
                );
            }
        }
    }
    assert!(rights::may(&release, "snaphook-controller", "get", "secrets", &team.namespace).await);
    assert!(!rights::may(&release, "snaphook-server", "list", "secrets", &team.namespace).await);

    release.run_uninstall(&values, &controller).await;
    let events = cp.audit().since(mark).unwrap();
    let ours = format!("system:serviceaccount:{}:snaphook-", release.namespace);
    let elsewhere = |namespace: &str| namespace != release.namespace && namespace != team.namespace;
    let asked = |event: &&control_plane::AuditEvent| event.user.starts_with(&ours) && !event.resource.is_empty();
    // Not those of `kubectl auth can-i`.
    let ours = events.iter().filter(asked).filter(|event| event.user_agent.starts_with("snaphook-"));
    let beyond: Vec<_> = ours.filter(|event| event.code == 403 || elsewhere(&event.namespace)).collect();
    assert!(beyond.is_empty(), "{beyond:#?}");
    release.uninstall();
    eventually("the CRDs go, and all resources with them", async || {
        let crds = cp.kubectl(&["get", "crds", "-o", "name"]).await.unwrap().success().unwrap();
        !crds.contains("snaphook.dev")
    })
    .await;
    eventually("Secrets that are not retained are collected", async || {
        let secrets = team.kubectl(&["get", "secrets", "-o", "name"]).await;
        secrets.lines().collect::<Vec<_>>() == ["secret/account", "secret/kept-credential"]
    })
    .await;
    assert_eq!(release.names("secrets,leases").await, Vec::<String>::new(), "no record, no key");
    drop((server, receiver));
    cp.stop().await.unwrap();
}
