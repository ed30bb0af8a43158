//! `kubectl snaphook render`: what would be made of the resources in a file. No cluster is asked, no value is shown.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde::Serialize;

use super::{output::Output, status::is_ready};
use crate::{
    config::Config,
    controller::fetch::{data, is_ours},
    crd::{AppCredential, Condition, Kind, Webhook, WebhookCredential},
    dev::{
        layout::private_dir,
        render::{Rendered, render},
        resources::{Of, Resources},
        world::Directory,
    },
    record,
};

const MASK: &str = "********";
/// Of no server: all values are masked.
const ISSUER: &str = "https://auth.example.com";

/// Arguments of `kubectl snaphook render`.
#[derive(clap::Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Files, directories with .yaml files, or - for the standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The operator's configuration, whose policy counts [default: everything is allowed]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Shown {
    resources: Vec<Resource>,
    /// What the API server would refuse.
    refused: Vec<String>,
    /// Documents of other kinds.
    ignored: Vec<String>,
}

#[derive(Serialize)]
struct Resource {
    kind: &'static str,
    namespace: String,
    name: String,
    ready: bool,
    conditions: Vec<Condition>,
    /// For the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<MaskedSecret>,
    /// The name of the record for the server, in the realm's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

#[derive(Serialize)]
struct MaskedSecret {
    name: String,
    #[serde(rename = "type")]
    type_: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Each value masked.
    data: BTreeMap<String, &'static str>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match &args.config {
        Some(file) => Config::read(file).with_context(|| file.display().to_string())?,
        None => Config::laptop(ISSUER.to_owned()),
    };
    let workplace = Workplace::new()?;
    let names = workplace.take(&args.files)?;
    let Rendered { world, complaints, ignored } = render(&workplace.0, &config, Timestamp::now()).await?;
    let with_path = |text: String| with_path(text, &names);
    let mut resources = shown::<AppCredential>(&world)?;
    resources.extend(shown::<WebhookCredential>(&world)?);
    resources.extend(shown::<Webhook>(&world)?);
    let shown = Shown {
        resources,
        refused: complaints.into_iter().map(|complaint| with_path(complaint.to_string())).collect(),
        ignored: ignored.into_iter().map(with_path).collect(),
    };
    let well = shown.refused.is_empty() && shown.resources.iter().all(|resource| resource.ready);
    args.output.show(&shown, &text(&shown), well)
}

fn shown<K: Kind>(world: &Directory) -> anyhow::Result<Vec<Resource>>
where
    Resources: Of<K>,
{
    let resources: Vec<K> = world.objects::<K>().iter().cloned().collect();
    resources.iter().map(|resource| show(world, resource)).collect()
}

fn show<K: Kind>(world: &Directory, resource: &K) -> anyhow::Result<Resource> {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let secret = world.mounts.read(&namespace, &resource.consumer_name()).context("the Secret cannot be read")?;
    let secret = secret.filter(|secret| is_ours(secret, resource));
    let ready = is_ready(resource, None);
    Ok(Resource {
        kind: K::KIND,
        record: ready.then(|| record::secret_name(K::KIND, &namespace, &name)),
        conditions: resource.conditions().to_vec(),
        secret: secret.as_ref().map(masked),
        namespace,
        name,
        ready,
    })
}

fn masked(secret: &Secret) -> MaskedSecret {
    MaskedSecret {
        name: secret.name_any(),
        type_: secret.type_.clone().unwrap_or_default(),
        labels: secret.labels().clone(),
        annotations: secret.annotations().clone(),
        data: data(secret).keys().map(|key| (key.clone(), MASK)).collect(),
    }
}

// A String takes everything that is written to it.
fn text(shown: &Shown) -> String {
    let mut text = String::new();
    for complaint in &shown.refused {
        let _ = writeln!(text, "refused  {complaint}");
    }
    for Resource { kind, namespace, name, ready, conditions, secret, record } in &shown.resources {
        let _ = writeln!(text, "{kind} {namespace}/{name}: {}", if *ready { "ready" } else { "not ready" });
        for Condition { type_, status, reason, message, .. } in conditions.iter().filter(|_| !ready) {
            let _ = writeln!(text, "  {type_} is {}, {reason}: {message}", status.as_str());
        }
        if let Some(MaskedSecret { name, type_, labels, annotations, data }) = secret {
            let _ = writeln!(text, "  Secret {namespace}/{name}, type {type_}");
            let _ = data.iter().try_for_each(|(key, value)| writeln!(text, "    {key}: {value}"));
            let marks = labels.iter().chain(annotations);
            let _ = marks.into_iter().try_for_each(|(key, value)| writeln!(text, "    # {key}: {value}"));
        }
        if let Some(record) = record {
            let _ = writeln!(text, "  record {record}, in the realm's namespace");
        }
    }
    for ignored in &shown.ignored {
        let _ = writeln!(text, "not ours {ignored}");
    }
    text
}

/// Where the files are copied to, as `snaphook dev` keeps its state beside them. Nobody else may look, and it goes with this value.
struct Workplace(PathBuf);

impl Workplace {
    fn new() -> anyhow::Result<Self> {
        let unique = URL_SAFE_NO_PAD.encode(crate::random::bytes::<12>());
        let directory = env::temp_dir().join(format!("snaphook-render-{unique}"));
        private_dir(&directory).context("no temporary directory can be made")?;
        Ok(Self(directory))
    }

    /// Copies the files, and tells which is whose.
    fn take(&self, files: &[PathBuf]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut names = BTreeMap::new();
        for path in files.iter().map(|file| expanded(file)).collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten() {
            let content = read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let name = format!("{:04}.yaml", names.len());
            fs::write(self.0.join(&name), content)?;
            names.insert(name, path.display().to_string());
        }
        Ok(names)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is left lies where only this user may look
    }
}

/// A directory is the YAML files in it.
fn expanded(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    files.retain(|path| is_yaml(path) && path.is_file());
    files.sort_unstable();
    if files.is_empty() {
        bail!("there is no .yaml file in {}", path.display())
    }
    Ok(files)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content)?;
        return Ok(content);
    }
    fs::read(path)
}

/// The file as the person named it.
fn with_path(text: String, names: &BTreeMap<String, String>) -> String {
    let found = names.iter().find_map(|(name, path)| Some((path, text.strip_prefix(name.as_str())?)));
    found.map(|(path, rest)| format!("{path}{rest}")).unwrap_or(text)
}
