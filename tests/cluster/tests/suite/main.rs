//! Snaphook in a real cluster with real Pods, as people install and use it: `cargo test -p cluster`.
//!
//! One cluster and an order: install, use, upgrade, restart, uninstall. Everything goes through `kubectl` and `helm`, so the
//! same suite runs against any cluster that `KUBECONFIG` names. `cargo test -p cluster -- TEXT` runs the first three chapters and those
//! with TEXT in their title.

mod alerts;
mod away;
mod examples;
mod front_door;
mod install;
mod plugin;
mod shop;
mod sidecar;
mod team;
mod upgrade;

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use cluster::Cluster;

/// The release, its namespace, and that of the team which uses it.
const RELEASE: &str = "snaphook";
const SYSTEM: &str = "snaphook-system";
const TEAM: &str = "team";
/// A generous deadline for whatever a cluster does.
const SOON: Duration = Duration::from_mins(2);

/// Says what it has measured, if anything.
type Chapter = fn(&Suite) -> Result<String>;

/// One after another, on what the ones before have left.
const CHAPTERS: [(&str, Chapter); 12] = [
    ("install with default values", install::with_default_values),
    ("the values of a real installation", install::with_values),
    ("a team's apps start", team::starts),
    ("every example becomes ready", examples::become_ready),
    ("tokens and posts through Ingress and HTTPRoute", front_door::by_ingress_and_http_route),
    ("an app calls another, until it is revoked", shop::is_refused_once_revoked),
    ("Alertmanager to receiver, with the hooks Pod killed in between", alerts::arrive),
    ("sidecar in a restricted namespace", sidecar::serves_its_pod),
    ("kubectl snaphook", plugin::looks_into_the_cluster),
    ("upgrade and rollback under load", upgrade::and_rollback_under_load),
    ("node restart, with the controller away", away::from_everything),
    ("uninstall", install::uninstall),
];

/// So many chapters at the beginning.
const NEEDED_BY_ALL: usize = 3;

struct Suite {
    cluster: Cluster,
    repository: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn run() -> Result<(), ()> {
    let start = Instant::now();
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cluster = Cluster::connect_or_start().map_err(|error| say(&format!("no cluster: {error:#}")))?;
    say(&format!("{:6.1} s  the cluster is ready", start.elapsed().as_secs_f64()));
    let suite = Suite { cluster, repository };
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |title: &str| wanted.is_empty() || wanted.iter().any(|text| title.contains(text));
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (number, (name, chapter)) in CHAPTERS.into_iter().enumerate() {
        if number >= NEEDED_BY_ALL && !wanted(name) {
            continue;
        }
        if failed > 0 {
            ignored += 1;
            tell(&format!("test {name} ... ignored, as one before it failed"));
        } else if suite.holds(name, chapter) {
            passed += 1;
            tell(&format!("test {name} ... ok"));
        } else {
            failed += 1;
            tell(&format!("test {name} ... FAILED"));
        }
    }
    say(&format!("{:6.1} s  all of it", start.elapsed().as_secs_f64()));
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    tell(&format!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out"
    ));
    if failed == 0 { Ok(()) } else { Err(()) }
}

/// In the words of Rust's own tests, for who counts them.
fn tell(line: &str) {
    let _ = writeln!(stdout(), "{line}"); // nobody to tell if this fails
}

/// At once, however the output is captured.
fn say(line: &str) {
    let _ = writeln!(stderr(), "cluster: {line}"); // nobody to tell if this fails
}

impl Suite {
    /// Runs a chapter and says what it has measured, or why it failed.
    fn holds(&self, name: &str, chapter: Chapter) -> bool {
        let begin = Instant::now();
        let result = chapter(self);
        let seconds = begin.elapsed().as_secs_f64();
        match &result {
            Ok(figures) => {
                let colon = if figures.is_empty() { "" } else { ": " };
                say(&format!("{seconds:6.1} s  {name}{colon}{figures}"));
            }
            Err(error) => say(&format!("{seconds:6.1} s  {name} FAILED: {error:#}\n{}", self.circumstances())),
        }
        result.is_ok()
    }

    /// With the image that this suite is about.
    fn manifest(&self, yaml: &str) -> String {
        yaml.replace(cluster::SNAPHOOK, self.cluster.snaphook_image())
    }

    /// The manifests of an example, in the order in which kubectl applies files.
    fn example(&self, name: &str) -> Result<String> {
        let directory = fs::read_dir(self.repository.join("examples").join(name))?;
        let mut files = directory.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        let texts = files.into_iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(self.manifest(&texts.join("\n---\n")))
    }

    /// What a person would look at first.
    fn circumstances(&self) -> String {
        let look = |arguments: &[&str]| self.cluster.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}"));
        let (controller, hooks) = (format!("deploy/{RELEASE}-controller"), format!("statefulset/{RELEASE}-hooks"));
        [
            look(&["get", "pods,appcredentials,webhooks,webhookcredentials", "-A", "-o", "wide"]),
            look(&["get", "events", "-A", "--field-selector", "type=Warning"]),
            look(&["logs", "-n", SYSTEM, &controller, "--tail", "20"]),
            look(&["logs", "-n", SYSTEM, &hooks, "--tail", "20"]),
            look(&["exec", "-n", SYSTEM, &hooks, "--", "snaphook", "deliveries"]),
        ]
        .join("\n")
    }
}
