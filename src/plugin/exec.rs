//! `kubectl snaphook deliveries`, `replay`, `drop` and `send`: run by `kubectl exec` in the Pod that has the queue, so that Kubernetes' own
//! rights decide who may look.

use std::{ffi::OsString, fs::File, process::ExitCode, process::Stdio};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};

use super::cluster::Which;
use crate::app::deliveries;

/// Where the chart puts the server by default.
pub(super) const SERVER_NAMESPACE: &str = "snaphook-system";
/// The Pod that has the queue, as the chart labels it.
const SELECTOR: &str = "app.kubernetes.io/name=snaphook,app.kubernetes.io/component=hooks";

/// Where the server is.
#[derive(clap::Args, Debug)]
struct On {
    /// Where the server runs
    #[arg(long, value_name = "NAMESPACE", default_value = SERVER_NAMESPACE)]
    server_namespace: String,
    #[command(flatten)]
    which: Which,
}

/// Options of [`On`]; all of them have a value.
const OWN_OPTIONS: [&str; 3] = ["--server-namespace", "--context", "--kubeconfig"];
const DATA_OPTION: &str = "--data";

/// Commands that run in the server's Pod.
#[derive(Subcommand, Debug)]
pub enum Exec {
    /// List what came in and what became of it, or show one message
    Deliveries(InPod<deliveries::List>),
    /// Deliver messages again
    Replay(InPod<deliveries::Replay>),
    /// Remove messages
    Drop(InPod<deliveries::Discard>),
    /// Send a test message to a Webhook
    Send(InPod<deliveries::Send>),
}

/// A command, and where it runs.
#[derive(clap::Args, Debug)]
pub struct InPod<A: clap::Args> {
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    args: A,
}

/// What is run in the Pod.
#[derive(Debug, PartialEq, Eq)]
struct Remote {
    /// Of `snaphook`, the command first.
    arguments: Vec<String>,
    input: Input,
}

/// What the command in the Pod reads.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Nothing,
    /// What this command reads.
    Ours,
    File(String),
}

/// Runs it. `words` are those of the command line, from the command on: they were checked here, and are checked again there.
///
/// # Errors
/// There is no such Pod, or no kubectl.
pub fn run(exec: &Exec, words: Vec<String>) -> anyhow::Result<ExitCode> {
    let (on, data) = match exec {
        Exec::Deliveries(InPod { on, .. }) | Exec::Replay(InPod { on, .. }) | Exec::Drop(InPod { on, .. }) => {
            (on, None)
        }
        Exec::Send(InPod { on, args }) => (on, Some(args.data())),
    };
    let remote = remote(words, data);
    super::wait(async {
        let client = on.which.client().await?;
        let pods: Api<Pod> = Api::namespaced(client, &on.server_namespace);
        let found = pods.list(&ListParams::default().labels(SELECTOR)).await;
        let found = found.with_context(|| format!("Pods in namespace {} cannot be listed", on.server_namespace))?;
        let pod = choose(&found.items, &on.server_namespace)?;
        exec_in(on, &pod.name_any(), &remote)
    })
}

/// The words without what is meant for this side. A file of this side is sent as standard input.
fn remote(words: Vec<String>, data: Option<&str>) -> Remote {
    let file = data.and_then(|data| data.strip_prefix('@'));
    let input = match (data, file) {
        (_, Some(file)) => Input::File(file.to_owned()),
        (Some("-"), None) => Input::Ours,
        _ => Input::Nothing,
    };
    let sent = matches!(input, Input::File(_));
    let is_own = |word: &str| OWN_OPTIONS.contains(&word) || (sent && word == DATA_OPTION);
    let mut arguments = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((option, _)) if is_own(option) => {}
            None if is_own(&word) => drop(words.next()),
            _ => arguments.push(word),
        }
    }
    if sent {
        arguments.extend([DATA_OPTION.to_owned(), "-".to_owned()]);
    }
    Remote { arguments, input }
}

/// A Pod that is ready: the queue is one Pod's.
fn choose<'a>(pods: &'a [Pod], namespace: &str) -> anyhow::Result<&'a Pod> {
    let Some(any) = pods.first() else {
        bail!(
            "no Pod in namespace {namespace} has the labels {SELECTOR}: --server-namespace names another namespace; \
             a server that the chart did not install is asked by: kubectl exec POD -- snaphook deliveries"
        )
    };
    let ready = pods.iter().filter(|pod| is_ready(pod)).min_by_key(|pod| pod.name_any());
    ready.with_context(|| {
        format!(
            "the Pod {} in namespace {namespace} is not ready: kubectl describe pod -n {namespace} {}",
            any.name_any(),
            any.name_any()
        )
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Ends as the command in the Pod does.
fn exec_in(on: &On, pod: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    let mut kubectl = std::process::Command::new("kubectl");
    kubectl.args(kubectl_arguments(on, pod, remote)).stdin(match &remote.input {
        Input::Nothing => Stdio::null(),
        Input::Ours => Stdio::inherit(),
        Input::File(path) => File::open(path).with_context(|| format!("{path} cannot be read"))?.into(),
    });
    let status = kubectl.status().context("kubectl cannot be run: it has to be on the PATH")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The container is the Pod's default one.
fn kubectl_arguments(on: &On, pod: &str, remote: &Remote) -> Vec<OsString> {
    let On { server_namespace, which: Which { context, kubeconfig } } = on;
    let mut arguments: Vec<OsString> = Vec::new();
    arguments.extend(context.iter().flat_map(|context| ["--context".into(), context.into()]));
    arguments.extend(kubeconfig.iter().flat_map(|file| ["--kubeconfig".into(), file.into()]));
    arguments.extend(["exec", "-n", server_namespace, pod].map(OsString::from));
    if remote.input != Input::Nothing {
        arguments.push("-i".into());
    }
    arguments.extend(["--", "snaphook"].map(OsString::from));
    arguments.extend(remote.arguments.iter().map(OsString::from));
    arguments
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_is_meant_for_this_side_stays_here() {
        for (given, passed) in [
            ("deliveries", "deliveries"),
            ("deliveries -n demo --context c --state due", "deliveries -n demo --state due"),
            ("deliveries --kubeconfig=/k --server-namespace x -o json", "deliveries -o json"),
            ("replay --dead-letters --context=c -n demo --webhook w", "replay --dead-letters -n demo --webhook w"),
            ("send demo/w --data {} --context c", "send demo/w --data {}"),
        ] {
            assert_eq!(
                remote(words(given), None),
                Remote { arguments: words(passed), input: Input::Nothing },
                "{given}"
            );
        }
    }

    #[test]
    fn a_file_of_this_side_is_sent() {
        let file = remote(words("send demo/w --data @/a/b.json --content-type text/plain"), Some("@/a/b.json"));
        assert_eq!(file.arguments, words("send demo/w --content-type text/plain --data -"));
        assert_eq!(file.input, Input::File("/a/b.json".to_owned()));
        assert_eq!(remote(words("send demo/w --data=@x"), Some("@x")).arguments, words("send demo/w --data -"));
        let piped = remote(words("send demo/w --data -"), Some("-"));
        assert_eq!((piped.arguments, piped.input), (words("send demo/w --data -"), Input::Ours));
        assert_eq!(remote(words("send demo/w --data {}"), Some("{}")).input, Input::Nothing);
    }

    #[test]
    fn kubectl_is_told_where_to_run_what() {
        let which = Which { context: Some("c".to_owned()), kubeconfig: Some("/k".into()) };
        let on = On { server_namespace: "system".to_owned(), which };
        let line = |input| kubectl_arguments(&on, "pod-0", &Remote { arguments: words("deliveries -o json"), input });
        let joined = |arguments: Vec<OsString>| arguments.join(" ".as_ref()).into_string().unwrap();
        let expected = "--context c --kubeconfig /k exec -n system pod-0 -- snaphook deliveries -o json";
        assert_eq!(joined(line(Input::Nothing)), expected);
        assert_eq!(joined(line(Input::Ours)), expected.replace(" -- ", " -i -- "));
    }

    #[test]
    fn only_a_pod_that_is_ready_is_asked() {
        let pod = |name: &str, ready: &str, going: bool| -> Pod {
            let mut pod: Pod = serde_json::from_value(json!({"metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .unwrap();
            if going {
                pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
            }
            pod
        };
        let pods = [pod("c", "True", false), pod("a", "True", true), pod("b", "False", false)];
        assert_eq!(choose(&pods, "ns").unwrap().name_any(), "c");
        assert!(choose(&pods[1..], "ns").unwrap_err().to_string().contains("is not ready"));
        assert!(choose(&[], "ns").unwrap_err().to_string().contains("--server-namespace"));
    }
}
