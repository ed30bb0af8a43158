//! `deliveries` and its like: the Pod that is found, and what kubectl is told. There is no kubelet here: the command itself runs in the cluster
//! suite.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::site::{FAILED, Site, USAGE};

/// Says what it was told, and what it was sent, and ends with a code of its own.
const KUBECTL: &str = "#!/bin/sh\necho \"$@\"\ncat\nexit 7\n";

#[tokio::test]
async fn the_pod_with_the_queue_is_asked_and_its_answer_is_ours() {
    let site = Site::new("exec").await;
    let directory = site.directory();
    let kubectl = directory.join("kubectl");
    fs::write(&kubectl, KUBECTL).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let [command, rest @ ..] = arguments else { panic!("no command") };
        let place = ["--server-namespace", site.namespace.as_str()];
        site.snaphook_with(&[&[*command], &place[..], rest].concat(), std::slice::from_ref(&directory))
    };
    assert!(run(&["deliveries"]).ended(FAILED).contains("no Pod in namespace"));

    site.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: hooks-0, labels: {app.kubernetes.io/name: snaphook, app.kubernetes.io/component: hooks}},
          spec: {containers: [{name: snaphook, image: snaphook.test/snaphook}]}}",
    )
    .await;
    assert!(run(&["deliveries"]).ended(FAILED).contains("the Pod hooks-0 in namespace"));
    let ready = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    site.kubectl(&["patch", "pod", "hooks-0", "--subresource=status", "--type=merge", "-p", ready]).await;

    let at = format!("exec -n {} hooks-0", site.namespace);
    let told = run(&["deliveries", "-n", "demo", "--state", "due", "-o", "json"]).ended(7);
    assert_eq!(told, format!("{at} -- snaphook deliveries -n demo --state due -o json\n"));
    let body = directory.join("body.json");
    fs::write(&body, "{\"a\":1}\n").unwrap();
    let told = run(&["send", "demo/alerts", "--data", &format!("@{}", body.display())]).ended(7);
    assert_eq!(told, format!("{at} -i -- snaphook send demo/alerts --data -\n{{\"a\":1}}\n"));
    run(&["replay"]).ended(USAGE);
    run(&["deliveries", "--nonsense"]).ended(USAGE);
}
