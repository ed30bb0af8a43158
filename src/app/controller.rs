//! Start-up of `snaphook controller`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use kube::Client;
use tokio::sync::watch;

use crate::{
    config::Config,
    controller::{
        leader::Candidate,
        run::{self, Telemetry},
    },
    file_watch::FileWatch,
    http::{Probed, Probes},
    shutdown::Shutdown,
    telemetry::logging,
};

/// The configuration is looked at this often even where no change is reported.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Arguments of `snaphook controller`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The operator's configuration (see docs/configuration.md); read again when it changes
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Address for /livez, /readyz and /metrics; port 0 chooses a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8082")]
    probes_listen: SocketAddr,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: logging::Format,
    /// Who this replica is in the Lease and in Events. Default: the host name, made unique
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
}

/// Runs until a signal ends it.
///
/// # Errors
/// What kept the controller from starting.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(args.log_format);
    super::runtime()?.block_on(work(args))
}

async fn work(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let watch = FileWatch::files([&args.config], LOOK_AGAIN);
    let config = Config::read(&args.config).with_context(|| args.config.display().to_string())?;
    let probes = Probes::bind(args.probes_listen).await?;
    // Tests read this line.
    println!("listening probes={}", probes.address()?);
    let kubeconfig = super::cluster("controller").await?;
    let realm = config.realm.namespace.clone().unwrap_or_else(|| kubeconfig.default_namespace.clone());
    config.check_shared_namespace(&realm).with_context(|| args.config.display().to_string())?;
    let (client, lease_client) = clients(kubeconfig).context("cannot use the cluster's configuration")?;
    let identity = args.identity.unwrap_or_else(default_identity);
    tracing::info!(identity, realm, issuer = config.realm.issuer, "controller starting");
    let election = config.leader_election.clone();
    let mut candidate = Candidate::new(lease_client, &realm, identity.clone(), election.clone());
    let (sender, current) = watch::channel(config);
    let telemetry = Telemetry::default();
    let reconcile = || reconcile(client.clone(), &realm, current.clone(), &identity, &telemetry);
    let reload = reload(args.config, &realm, watch, sender);
    let lead = async {
        if election.enabled {
            candidate.lead(&shutdown, reconcile).await;
        } else {
            tokio::select! { () = reconcile() => {}, () = shutdown.requested() => {} }
        }
    };
    // Connections are accepted on the task of the watches: where that stands still, /livez does not answer either.
    let probes = probes.serve(Arc::new(telemetry.clone()));
    tokio::select! { () = lead => {}, () = reload => {}, () = probes => {} }
    Ok(ExitCode::SUCCESS)
}

/// Reconciles under the configuration of the moment. Another one starts everything anew: that is safe at any point, and rare.
async fn reconcile(
    client: Client,
    realm: &str,
    mut current: watch::Receiver<Config>,
    identity: &str,
    telemetry: &Telemetry,
) {
    loop {
        let mut config = current.borrow_and_update().clone();
        // It changes with a restart only, and who is not told it runs in it.
        config.realm.namespace = Some(realm.to_owned());
        tokio::select! {
            () = run::run(client.clone(), realm, &config, identity, telemetry) => return,
            changed = current.changed() => if changed.is_err() { return },
        }
    }
}

impl Probed for Telemetry {
    fn ready(&self) -> Result<(), &'static str> {
        self.overview.ready()
    }

    fn metrics(&self) -> String {
        self.metrics.encode()
    }
}

/// Reads the file whenever it changes; a broken one is reported, and the last good one stays.
async fn reload(path: PathBuf, realm: &str, mut watch: FileWatch, current: watch::Sender<Config>) {
    let mut complaint = String::new();
    loop {
        watch.changed().await;
        match Config::read(&path).and_then(|config| config.check_shared_namespace(realm).map(|()| config)) {
            Ok(config) => {
                complaint.clear();
                if needs_restart(&current.borrow(), &config) {
                    tracing::warn!("realm.namespace and leaderElection change when the controller is restarted");
                }
                if current.send_if_modified(|current| std::mem::replace(current, config.clone()) != config) {
                    tracing::info!("the configuration has changed");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if complaint != text {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the configuration is broken; the last good one stays"
                    );
                    complaint = text;
                }
            }
        }
    }
}

fn needs_restart(old: &Config, new: &Config) -> bool {
    old.realm.namespace != new.realm.namespace || old.leader_election != new.leader_election
}

/// One client for the work and one for the Lease, which gives up rather than being late.
pub(super) fn clients(config: kube::Config) -> kube::Result<(Client, Client)> {
    let mut lease = config.clone();
    lease.default_retry = false;
    Ok((Client::try_from(config)?, Client::try_from(lease)?))
}

fn default_identity() -> String {
    use base64::Engine as _;
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let unique = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(crate::random::bytes::<6>());
    format!("{}_{unique}", host.trim())
}
