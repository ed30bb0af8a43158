//! The programs export what the page of metrics says, with these labels and no other, and no label names a resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use snaphook::crd::{Webhook, WebhookCredential};

use crate::{
    harness::{Controller, Server, Tenant, eventually, value},
    metrics::{Documented, documented},
    receiver::Receiver,
};

const REJECTED: &str = "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n";

/// What a program exports: each metric with the labels of all its series.
fn exported(text: &str) -> BTreeMap<String, Documented> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, type_)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let name = match type_ {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            found.insert(name.clone(), Documented { name, type_: type_.to_owned(), labels: BTreeSet::new() });
        } else if let Some((name, labels)) = line.split_once('{') {
            let part = |suffix: &str| name.strip_suffix(suffix).filter(|name| found.contains_key(*name));
            let name = part("_bucket").or(part("_sum")).or(part("_count")).unwrap_or(name).to_owned();
            let (labels, _) = labels.rsplit_once('}').unwrap();
            let names = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned());
            let metric = found.get_mut(&name).unwrap_or_else(|| panic!("{line} comes before its type"));
            metric.labels.extend(names.filter(|label| label != "le"));
        }
    }
    found
}

fn post(server: &Server, url: &str) {
    let (_, path) = url.split_once("/hooks/").unwrap();
    let url = format!("http://{}/hooks/{path}", server.public);
    let output = Command::new("curl").args(["-sS", "-m", "20", "-d", "{}", &url]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("msg_"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_is_exported_and_nothing_else() {
    let t = Tenant::alone("exported").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &t.config("leaderElection: {enabled: false}"));
    let directory = t.plane.directory("exported-queue").unwrap();
    let (queue, socket) = (directory.join("queue"), directory.join("admin.sock"));
    let arguments = ["--serve", "tokens,hooks", "--allow-egress", "127.0.0.1", "--queue"];
    let arguments = [&arguments[..], &[queue.to_str().unwrap(), "--admin-socket", socket.to_str().unwrap()]].concat();
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &arguments).await;

    // A token, a call that is refused for good, and a message that is put aside.
    let receiver = Receiver::answering(REJECTED);
    t.apply("{kind: AppCredential, metadata: {name: named-client}, spec: {}}").await;
    t.apply("{kind: WebhookCredential, metadata: {name: named-pager}, spec: {type: ClientId, fieldName: clientid, location: Header, clientId: link}}").await;
    let hook = |name: &str, more: &str| {
        let delivery = format!("{{url: '{}'{more}}}", receiver.url("/"));
        format!(
            "{{kind: Webhook, metadata: {{name: {name}}}, spec: {{verification: {{type: None}}, delivery: {delivery}}}}}"
        )
    };
    t.apply(&hook("named-sent", "")).await;
    t.apply(&hook("named-held", ", onMissingCredential: Hold, credentialRef: {name: named-missing}")).await;
    t.ready("named-client").await;
    t.of::<WebhookCredential>().ready("named-pager").await;
    let secret = t.secret("named-client-credential").await;
    let client = (value(&secret, "client-id"), value(&secret, "client-secret"));
    eventually("a token", async || server.token(&client).0 == 200).await;
    server.introspect(&client, "garbage");
    for name in ["named-sent", "named-held"] {
        t.of::<Webhook>().ready(name).await;
        let url = value(&t.secret(&format!("{name}-webhook")).await, "url");
        eventually("the endpoint is known", async || server.metrics().contains("kind=\"endpoint\"} 2")).await;
        post(&server, &url);
    }
    eventually("both have come to something", async || {
        let text = server.metrics();
        text.contains("snaphook_dead_letters_total{reason=\"Rejected\"} 1")
            && text.contains("snaphook_messages_held_total{reason=\"CredentialMissing\"}")
    })
    .await;

    let (_, of_controller) = controller.probe("/metrics").await;
    let of_server = server.metrics();
    let mut all = exported(&of_controller);
    all.extend(exported(&of_server));
    let all: Vec<_> = all.into_values().collect();
    let mut page: Vec<_> = documented().into_iter().collect();
    page.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(all, page, "docs/metrics.md and what is exported");
    for text in [of_controller, of_server] {
        for name in [&t.namespace, &t.realm, "named-", &client.0, "127.0.0.1"] {
            assert!(!text.contains(name), "a label names {name}:\n{text}");
        }
    }
}
