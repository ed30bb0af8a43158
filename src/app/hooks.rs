//! Start-up of flow 3: the queue, the guard of outgoing calls, and the worker that delivers.

use std::{
    env,
    future::pending,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    delivery::{
        egress::{Egress, Exception, Forbidden, Guard, Resolver, Tls},
        queue::{Embedded, Retention},
        worker::Worker,
    },
    http::{Admin, AdminSocket},
    store::Store,
    telemetry::metrics::hooks::Hooks as Metrics,
};

/// Where commands look for a server, and servers for commands.
pub const ADMIN_SOCKET: &str = "/var/lib/snaphook/admin.sock";

/// Arguments for whoever serves hooks.
#[derive(clap::Args, Clone, Debug)]
pub struct HookArgs {
    /// Directory of the queue, on a volume of its own: what was acknowledged lies there until it is delivered
    #[arg(long, value_name = "DIR", default_value = "/var/lib/snaphook/queue")]
    queue: PathBuf,
    /// The Unix socket that `snaphook deliveries`, `endpoints`, `replay`, `drop` and `send` talk to, for this user alone
    #[arg(long, value_name = "PATH", env = "SNAPHOOK_ADMIN_SOCKET", default_value = ADMIN_SOCKET)]
    admin_socket: PathBuf,
    /// Receivers that are allowed although they are not on the public internet: 10.0.0.0/8, 10.1.2.3 or 10.1.2.3:8080
    #[arg(long, value_name = "NETWORK|ADDR[:PORT]", value_delimiter = ',')]
    allow_egress: Vec<Exception>,
    /// Addresses that no delivery goes to, whatever --allow-egress says and though they are public; a Service that a Webhook names is not
    /// concerned
    #[arg(long, value_name = "NETWORK|ADDR[:PORT]", value_delimiter = ',')]
    deny_egress: Vec<Exception>,
    /// Certificate authorities, in PEM, that receivers may have besides those that the system trusts; read again when it changes
    #[arg(long, value_name = "FILE")]
    egress_ca: Option<PathBuf>,
}

/// What serves hooks, opened.
pub struct Hooks {
    queue: Arc<Embedded>,
    egress: Egress,
    tls: Tls,
    socket: Option<AdminSocket>,
}

impl Hooks {
    /// Opens the queue, as the arguments say. `own` are addresses of this program.
    ///
    /// # Errors
    /// The queue cannot be opened, receivers cannot be checked, or the socket cannot be made.
    pub async fn open(args: &HookArgs, own: &[SocketAddr]) -> anyhow::Result<Self> {
        let forbidden = own.iter().copied().map(Forbidden::from).chain(of_the_cluster()).collect();
        let (exceptions, denied) = (args.allow_egress.clone(), args.deny_egress.clone());
        let guard = Guard { exceptions, denied, loopback: false, forbidden };
        Self::with(&args.queue, Some(&args.admin_socket), guard, args.egress_ca.as_deref()).await
    }

    /// Opens the queue in a directory, for calls that `guard` allows, and listens on the socket of administration,
    /// if there is to be one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn with(
        directory: &Path,
        socket: Option<&Path>,
        guard: Guard,
        authorities: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let tls = Tls::new(authorities)?;
        let egress = Egress::new(guard, Resolver::system()?, tls.clone());
        let queue = Embedded::open(directory, Retention::default()).await?;
        // After the queue: who holds its lock may clear away what a predecessor left.
        let socket = socket.map(AdminSocket::bind).transpose()?;
        Ok(Self { queue: Arc::new(queue), egress, tls, socket })
    }

    /// Where posts are stored.
    #[must_use]
    pub fn queue(&self) -> Arc<Embedded> {
        self.queue.clone()
    }

    /// Delivers and is administered until `stop`, and closes the queue.
    pub async fn run(self, metrics: Metrics, admin: Option<Admin>, store: Arc<Store>, stop: impl Future<Output = ()>) {
        let administer = async {
            if let Some((admin, socket)) = admin.zip(self.socket) {
                admin.serve(socket).await;
            }
            pending::<()>().await;
        };
        tokio::select! {
            () = Worker::new(self.queue.clone(), store, self.egress, metrics).run(stop) => {}
            () = administer => {}
            () = self.tls.follow() => {}
        }
        self.queue.close().await;
    }
}

/// The API server, and the address of this Pod where it is told.
fn of_the_cluster() -> impl Iterator<Item = Forbidden> {
    let api_server = env::var("KUBERNETES_SERVICE_HOST").ok();
    let pod = env::var("POD_IP").ok();
    let addresses = [api_server, pod].into_iter().flatten().filter_map(|text| text.parse::<IpAddr>().ok());
    addresses.map(|address| Forbidden { address, port: None })
}
