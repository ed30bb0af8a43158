//! Start-up of `snaphook server`.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::Context as _;
use clap::value_parser;
use futures::FutureExt as _;
use ipnet::IpNet;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::hooks::{HookArgs, Hooks};
use crate::{
    delivery::queue::Queue,
    http::{Config, Serve, Server, Stop, TlsFiles},
    record::bundle,
    store::{self, Needs, Store},
    telemetry::logging,
};

const MIN_STALENESS: Duration = Duration::from_secs(3);

/// Arguments of `snaphook server`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Address for tokens; port 0 chooses a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address for /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8081")]
    probes_listen: SocketAddr,
    /// What to serve; several separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tokens")]
    serve: Vec<Part>,
    /// Where records come from: `kube`, the Secrets of a namespace; `kube:bundles`, a few of them with fixed names, for a sidecar; or
    /// `dir:PATH`, the files of a directory
    #[arg(long, value_name = "kube|kube:bundles|dir:PATH", default_value = "kube")]
    records: Records,
    /// With `--records kube:bundles`: how many Secrets of records the realm may have
    #[arg(long, value_name = "N", default_value_t = bundle::DEFAULT_COUNT, value_parser = value_parser!(u8).range(1..=i64::from(bundle::MAX_COUNT)))]
    bundles: u8,
    /// Namespace of the records [default: that of the Pod, or of the kubeconfig's context]
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// Answer 503 once the records could not be confirmed for this long, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = staleness)]
    max_staleness: Duration,
    /// Serve TLS with this certificate chain, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Requests for tokens and checks a second from one source address [default: no limit]
    #[arg(long, value_name = "N")]
    rate_limit: Option<NonZeroU32>,
    /// Proxies whose X-Forwarded-For is believed
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    trusted_proxies: Vec<IpNet>,
    /// Connections at once; more wait
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,
    /// On SIGTERM, go on accepting for this long after /readyz has begun to fail, so that all traffic has moved away
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    shutdown_delay: Duration,
    /// Time for requests that are under way then
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    shutdown_grace: Duration,
    #[command(flatten)]
    hooks: HookArgs,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: logging::Format,
}

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Issues and checks tokens
    Tokens,
    /// Takes what is posted to endpoints, and delivers it
    Hooks,
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Records {
    Kube,
    Bundles,
    Directory(PathBuf),
}

impl FromStr for Records {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("dir:")) {
            ("kube", _) => Ok(Self::Kube),
            ("kube:bundles", _) => Ok(Self::Bundles),
            (_, Some(path)) if !path.is_empty() => Ok(Self::Directory(path.into())),
            _ => Err("expected kube, kube:bundles, or dir: and a path"),
        }
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|_| "expected a duration such as 90s or 1h30m")?;
    duration.try_into().map_err(|_| "expected a duration that is not negative".to_owned())
}

fn staleness(text: &str) -> Result<Duration, String> {
    let staleness = duration(text)?;
    if staleness < MIN_STALENESS {
        return Err(format!("expected at least {}s", MIN_STALENESS.as_secs()));
    }
    Ok(staleness)
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}

/// Runs until a signal ends it.
///
/// # Errors
/// What kept the server from starting, or ended it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(args.log_format);
    allow_open_files();
    runtime()?.block_on(async { tokio::spawn(serve(args)).await? })?;
    Ok(ExitCode::SUCCESS)
}

/// As many as may be asked for. Many container runtimes begin with 1,024, for the sake of programs that use `select`; that is
/// less than the calls that may be under way.
#[cfg(target_os = "linux")]
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit on open files stays");
    }
}

#[cfg(not(target_os = "linux"))]
fn allow_open_files() {}

/// As many workers as this process may use cores; one needs no handing over between threads.
fn runtime() -> anyhow::Result<Runtime> {
    let single = available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if single { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build().context("the runtime could not be started")
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let needs = if args.serve.contains(&Part::Hooks) { Needs::Everything } else { Needs::Tokens };
    let store = Arc::new(Store::new(needs));
    let stop = stop()?;
    let source = Source {
        records: args.records.clone(),
        bundles: args.bundles,
        namespace: args.namespace.clone(),
        max_staleness: args.max_staleness,
    };
    let parts = args.serve.clone();
    let hooks = if parts.contains(&Part::Hooks) {
        Some(Hooks::open(&args.hooks, &[args.listen, args.probes_listen]).await?)
    } else {
        None
    };
    let queue = hooks.as_ref().map(|hooks| hooks.queue() as Arc<dyn Queue>);
    let serve = Serve { tokens: parts.contains(&Part::Tokens), hooks: queue };
    let server = Server::bind(config(args), serve, store.clone()).await?;
    let (public, probes) = (server.public_address()?, server.probes_address().transpose()?);
    let probes = probes.map_or_else(|| "none".to_owned(), |address| address.to_string());
    // Tests and `dev` read this line.
    println!("listening public={public} probes={probes}");
    let (end, ended) = oneshot::channel::<()>();
    let (metrics, of_hooks) = (server.hook_metrics(), store.clone());
    let admin = hooks.as_ref().and_then(|hooks| server.admin(hooks.queue()));
    let deliver = async {
        match hooks {
            // An error says that the server has ended.
            Some(hooks) => hooks.run(metrics, admin, of_hooks, ended.map(drop)).await,
            None => drop(ended.await),
        }
    };
    let serve = async {
        let result = tokio::select! {
            result = server.run(stop) => result.map_err(anyhow::Error::from),
            result = source.follow(store) => result,
        };
        drop(end);
        result
    };
    // Deliveries end after the last post was stored.
    let (result, ()) = tokio::join!(serve, deliver);
    result
}

fn config(args: Args) -> Config {
    let Args { tls_cert, tls_key, .. } = &args;
    let tls = tls_cert.clone().zip(tls_key.clone()).map(|(certificate, key)| TlsFiles { certificate, key });
    Config {
        listen: args.listen,
        probes_listen: Some(args.probes_listen),
        max_staleness: args.max_staleness,
        tls,
        rate_limit: args.rate_limit,
        trusted_proxies: args.trusted_proxies,
        max_connections: args.max_connections,
        shutdown_grace: args.shutdown_grace,
        shutdown_delay: args.shutdown_delay,
    }
}

/// Where records come from, and how old they may be.
struct Source {
    records: Records,
    bundles: u8,
    namespace: Option<String>,
    max_staleness: Duration,
}

impl Source {
    /// Keeps the store up to date. Returns only with an error.
    async fn follow(self, store: Arc<Store>) -> anyhow::Result<()> {
        let max_staleness = self.max_staleness;
        match &self.records {
            Records::Directory(path) => store::dir::run(path.clone(), store, max_staleness).await,
            Records::Kube => {
                let (client, namespace) = self.cluster().await?;
                store::kube::run(client, namespace, store, max_staleness).await;
            }
            Records::Bundles => {
                let (client, namespace) = self.cluster().await?;
                store::kube::run_bundles(client, namespace, self.bundles, store, max_staleness).await;
            }
        }
        anyhow::bail!("the source of the records ended")
    }

    async fn cluster(&self) -> anyhow::Result<(kube::Client, String)> {
        let config = super::cluster("server").await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = kube::Client::try_from(config).context("the cluster's configuration cannot be used")?;
        Ok((client, namespace))
    }
}

/// The first signal that ends a program. Listened for from now on.
fn stop() -> anyhow::Result<impl Future<Output = Stop>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Stop::Announced,
            _ = interrupt.recv() => Stop::AtOnce,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "5", "-5s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(staleness("2s").is_err());
    }

    #[test]
    fn records_come_from_the_cluster_or_from_a_directory() {
        assert_eq!("kube".parse(), Ok(Records::Kube));
        assert_eq!("kube:bundles".parse(), Ok(Records::Bundles));
        assert_eq!("dir:/x".parse(), Ok(Records::Directory("/x".into())));
        for bad in ["", "dir:", "/x", "file:/x", "kube:", "kube:bundle"] {
            assert!(bad.parse::<Records>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proxy_is_a_network_or_an_address() {
        assert_eq!(network("10.0.0.0/8").unwrap().prefix_len(), 8);
        assert_eq!(network("10.0.0.1").unwrap().prefix_len(), 32);
        assert!(network("10.0.0.0/33").is_err());
    }
}
