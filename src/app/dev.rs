//! Start-up of `snaphook dev`.

use std::{future::pending, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio::{sync::oneshot, time::timeout};

use super::hooks::Hooks;
use crate::{
    delivery::egress::Guard,
    dev::{
        admission::Checkers,
        console::{Console, reachable},
        layout::{self, Layout},
        manifests::CONFIG,
        receiver::{LocalReceiver, ReceiverAddress},
        run::{Configuration, Driver},
        shell::{self, Shell},
        world::Directory,
    },
    http::{Admin, Config, Serve, Server, Stop},
    shutdown::Shutdown,
    store::{self, Store},
    telemetry::{logging, metrics::hooks::Hooks as HookMetrics},
    terminal::Printer,
};

const MAX_STALENESS: Duration = Duration::from_mins(5);
const MAX_CONNECTIONS: usize = 1000;
/// Nobody else is told of the end, so nothing waits for it but requests under way.
const GRACE: Duration = Duration::from_secs(1);

/// Arguments of `snaphook dev`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory with the YAML files; state is kept in its .snaphook
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Address to serve on; port 0 chooses a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to receive and print deliveries, if a Webhook delivers to that address; "none" for no receiver
    #[arg(long, value_name = "ADDR:PORT|none", default_value = "127.0.0.1:9000")]
    receive: ReceiverAddress,
}

/// Runs until a signal ends it.
///
/// # Errors
/// What kept it from starting.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    // What happens to resources is told by the console.
    logging::init_from("warn", logging::Format::Text);
    super::runtime()?.block_on(work(args))
}

async fn work(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let layout = Layout::open(&args.directory, &layout::notes()?)?;
    let (directory, records) = (std::fs::canonicalize(&args.directory)?, layout.records());
    let socket = layout.admin_socket();
    let guard = Guard { loopback: true, forbidden: vec![args.listen.into()], ..Guard::default() };
    let hooks = Hooks::with(&layout.queue(), socket.as_deref(), guard, None).await?;
    let world = Directory::open(layout)?;
    let store = Arc::new(Store::default());
    let serve = Serve { tokens: true, hooks: Some(hooks.queue()) };
    let server = Server::bind(server_config(args.listen), serve, store.clone()).await;
    let server = server.map_err(|error| {
        let error = anyhow::Error::from(error);
        anyhow::anyhow!("{error:#}: choose another address with --listen; port 0 takes a free one")
    })?;
    let address = reachable(server.public_address()?);
    let configuration = Configuration::open(&directory, format!("http://{address}"))
        .with_context(|| directory.join(CONFIG).display().to_string())?;
    let shell = Shell::on_terminal().context("the terminal cannot be read")?;
    let printer = Printer::start().context("there is no thread to print on")?;
    let console = Console::new(&directory, address, socket, shell::is_in_foreground(), printer.clone());
    let receiver = LocalReceiver::new(args.receive.unless_served(address), store.clone(), printer.clone());
    let driver = Driver::new(&directory, world, Checkers::new()?, configuration, console, receiver);
    let stop = async {
        shutdown.requested().await;
        Stop::AtOnce
    };
    let delivery = Delivery::new(hooks, &server, store.clone());
    let serve = Box::pin(async {
        tokio::select! {
            result = server.run(stop) => result.map_err(anyhow::Error::from),
            () = driver.run(store.clone()) => Ok(()),
            () = store::dir::run(records, store, MAX_STALENESS) => Ok(()),
            () = run_lines(shell) => Ok(()),
        }
    });
    let result = delivery.beside(serve).await;
    printer.flush(GRACE).await;
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs what is typed. That nothing more can be is no reason to end.
async fn run_lines(shell: Option<Shell>) {
    if let Some(shell) = shell
        && let Err(error) = shell.run().await
    {
        tracing::warn!(%error, "lines that are pasted here are not run any more");
    }
    pending::<()>().await;
}

/// Deliveries, which begin with the server and end after it.
struct Delivery {
    hooks: Hooks,
    metrics: HookMetrics,
    admin: Option<Admin>,
    store: Arc<Store>,
}

impl Delivery {
    fn new(hooks: Hooks, server: &Server, store: Arc<Store>) -> Self {
        let (metrics, admin) = (server.hook_metrics(), server.admin(hooks.queue()));
        Self { hooks, metrics, admin, store }
    }

    /// Delivers for as long as the server serves.
    async fn beside(self, serve: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let Self { hooks, metrics, admin, store } = self;
        let (end, ended) = oneshot::channel::<()>();
        let queue = hooks.queue();
        let mut deliver = Box::pin(hooks.run(metrics, admin, store, ended.map(drop)));
        let result = tokio::select! {
            result = serve => result,
            () = &mut deliver => return Ok(()),
        };
        drop(end);
        // A receiver that does not answer keeps nobody waiting: its message is delivered after the next start.
        if timeout(GRACE, deliver).await.is_err() {
            queue.close().await;
        }
        result
    }
}

fn server_config(listen: SocketAddr) -> Config {
    Config {
        listen,
        probes_listen: None,
        max_staleness: MAX_STALENESS,
        tls: None,
        rate_limit: None,
        trusted_proxies: Vec::new(),
        max_connections: MAX_CONNECTIONS,
        shutdown_grace: GRACE,
        shutdown_delay: Duration::ZERO,
    }
}
