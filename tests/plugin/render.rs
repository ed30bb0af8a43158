//! `render` and `completion`: neither needs a cluster.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

const NO: i32 = 3;

/// Code, standard output and error of `snaphook …` where there is no cluster.
fn snaphook(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.args(arguments).env("KUBECONFIG", "/nonexistent").env_remove("KUBERNETES_SERVICE_HOST");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const RESOURCES: &str = "
apiVersion: snaphook.dev/v1alpha1
kind: WebhookCredential
metadata: {name: pager, namespace: demo}
spec: {type: ClientIdAndSecret, fieldName: clientid, location: Header, clientId: link, clientSecretFrom: {secretKeyRef: {name: pager, key: secret}}}
---
apiVersion: v1
kind: Secret
metadata: {name: pager, namespace: demo, labels: {snaphook.dev/allow-reference: 'true'}}
stringData: {secret: epona-the-canary}
---
apiVersion: snaphook.dev/v1alpha1
kind: AppCredential
metadata: {name: billing, namespace: demo}
spec: {secretTemplate: {labels: {team: billing}}}
---
apiVersion: snaphook.dev/v1alpha1
kind: Webhook
metadata: {name: alerts, namespace: demo}
spec: {verification: {type: GitHub}, delivery: {service: {name: receiver, port: 80}, credentialRef: {name: pager}}}
";

#[test]
fn what_would_be_made_is_shown_and_no_value_of_it() {
    let (code, text, _) = snaphook(&["render", "-f", "-"], RESOURCES);
    assert_eq!(code, 0, "{text}");
    for part in [
        "AppCredential demo/billing: ready\n  Secret demo/billing-credential, type Opaque\n    client-id: ********\n    client-secret: ********\n",
        "# team: billing\n",
        "WebhookCredential demo/pager: ready\n  Secret demo/pager-webhook-credential, type Opaque\n    field-name: ********\n",
        "Webhook demo/alerts: ready\n  Secret demo/alerts-webhook, type Opaque\n",
        "  record ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let (_, json, _) = snaphook(&["render", "-f", "-", "-o", "json"], RESOURCES);
    for shown in [&text, &json] {
        for canary in ["epona", "snaphook_", "bGlua2Vwb25h", "auth.example.com"] {
            assert!(!shown.contains(canary), "{canary} shows in {shown}");
        }
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["resources"][0]["secret"]["data"]["client-secret"], "********");
}

#[test]
fn a_mistake_and_a_missing_secret_are_told_as_the_cluster_would() {
    let directory = std::env::temp_dir().join(format!("snaphook-plugin-render-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("broken.yaml");
    std::fs::write(&file, "apiVersion: snaphook.dev/v1alpha1\nkind: AppCredential\nmetadata: {name: a, namespace: demo}\nspec:\n  tokenLifetime: 1s\n").unwrap();
    let (code, text, _) = snaphook(&["render", "-f", file.to_str().unwrap()], "");
    assert_eq!(code, NO);
    assert!(text.starts_with(&format!("refused  {}:5  demo/a  spec.tokenLifetime", file.display())), "{text}");
    std::fs::remove_dir_all(directory).unwrap();

    let (without_secret, _) = RESOURCES.split_once("---").unwrap();
    let (code, text, _) = snaphook(&["render", "-f", "-"], without_secret);
    assert_eq!(code, NO);
    assert!(
        text.contains("WebhookCredential demo/pager: not ready\n") && text.contains("ReferenceNotAvailable"),
        "{text}"
    );
    assert_eq!(snaphook(&["render", "-f", "/nonexistent.yaml"], "").0, 1);
    assert_eq!(snaphook(&["render"], "").0, 2);
}

#[test]
fn the_policy_of_a_configuration_counts() {
    let file = std::env::temp_dir().join(format!("snaphook-plugin-config-{}.yaml", std::process::id()));
    std::fs::write(
        &file,
        "realm: {issuer: 'https://x.test'}\npolicy: {rules: [{namespaces: {}, maxAppCredentials: 0}]}\n",
    )
    .unwrap();
    let (code, text, _) = snaphook(&["render", "-f", "-", "--config", file.to_str().unwrap()], RESOURCES);
    std::fs::remove_file(file).unwrap();
    assert_eq!(code, NO);
    assert!(text.contains("NotAllowedByPolicy"), "{text}");
}

#[test]
fn every_example_renders() {
    for example in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = example.unwrap().path();
        let (_, text, errors) = snaphook(&["render", "-f", path.to_str().unwrap()], "");
        assert!(!text.contains("refused") && text.contains(": "), "{}: {text}{errors}", path.display());
    }
}

#[test]
fn completions_are_scripts() {
    let (code, script, _) = snaphook(&["completion", "bash"], "");
    assert_eq!(code, 0);
    assert!(script.contains("render") && script.contains("--server-namespace"), "{script}");
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn without_a_cluster_a_command_that_needs_one_says_so() {
    let (code, _, errors) = snaphook(&["status"], "");
    assert_eq!(code, 1);
    assert!(errors.contains("KUBECONFIG"), "{errors}");
}
