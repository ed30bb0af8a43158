//! `kubectl snaphook`: which cluster and namespace, chosen as kubectl chooses them; and looks at single objects.

use std::{fmt::Debug, path::PathBuf};

use anyhow::Context as _;
use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

/// Which cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Which {
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// Which namespace of which cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Place {
    /// The namespace [default: that of the kubeconfig's context]
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// A cluster, and the namespace that is meant where nothing else is said.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
}

/// What a look came to.
#[derive(Clone, Debug)]
pub(super) enum Look<T> {
    Found(T),
    Missing,
    /// The API server does not let this person look.
    Forbidden,
}

impl Which {
    pub(super) async fn config(&self) -> anyhow::Result<Config> {
        let Self { context, kubeconfig } = self;
        if context.is_none() && kubeconfig.is_none() {
            return crate::app::cluster("kubectl").await;
        }
        let kubeconfig = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path).with_context(|| path.display().to_string())?,
            None => Kubeconfig::read().context("the kubeconfig cannot be read")?,
        };
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        crate::app::named(Config::from_custom_kubeconfig(kubeconfig, &options).await?, "kubectl")
    }

    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        Client::try_from(self.config().await?).context("the cluster's configuration cannot be used")
    }
}

impl Place {
    pub(super) async fn cluster(&self) -> anyhow::Result<Cluster> {
        let config = self.which.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the cluster's configuration cannot be used")?;
        Ok(Cluster { client, namespace })
    }
}

impl Cluster {
    pub(super) fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// An object, if it is there and may be seen.
    pub(super) async fn look<K>(&self, namespace: &str, name: &str) -> anyhow::Result<Look<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        match self.api::<K>(namespace).get_opt(name).await {
            Ok(Some(object)) => Ok(Look::Found(object)),
            Ok(None) => Ok(Look::Missing),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Look::Forbidden),
            Err(error) => Err(error).with_context(|| format!("{} {namespace}/{name}", K::kind(&()))),
        }
    }

    /// An object that has to be there.
    pub(super) async fn get<K>(&self, namespace: &str, name: &str) -> anyhow::Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let kind = K::kind(&());
        match self.look(namespace, name).await? {
            Look::Found(object) => Ok(object),
            Look::Missing => anyhow::bail!("there is no {kind} {name} in namespace {namespace}"),
            Look::Forbidden => anyhow::bail!("you may not read the {kind} {name} in namespace {namespace}"),
        }
    }
}
