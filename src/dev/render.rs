//! Flow 1 without a cluster, once: what would be made of the YAML files in a directory.

use std::{collections::BTreeSet, path::Path};

use jiff::Timestamp;

use super::{
    admission::{Admission, Admitted, Checkers, Complaint},
    layout::{Layout, LayoutError},
    manifests::Manifests,
    objects::ObjectsError,
    resources::{Of, Resources},
    world::{Declared, Directory},
};
use crate::{
    config::Config,
    controller::{
        apply::{ApplyError, World},
        run::entropy,
        steps::{self, Steps},
    },
    crd::{AppCredential, Webhook, WebhookCredential, check::CheckerError},
};

/// What was made.
pub struct Rendered {
    /// Resources with their status, and the Secrets for apps.
    pub world: Directory,
    /// What the API server would refuse.
    pub complaints: BTreeSet<Complaint>,
    /// Documents of kinds that are not for Snaphook.
    pub ignored: BTreeSet<String>,
}

/// Why nothing could be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The directory for the state.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The stored resources.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The CRDs.
    #[error(transparent)]
    Checkers(#[from] CheckerError),
    /// The directory itself.
    #[error("the files cannot be read")]
    Read(#[from] std::io::Error),
    /// A step.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The state is of this run, and so is the note of it.
const NOTES: &str = ".notes";

/// Takes the resources in `directory` through their steps, once. State is left there, with the values of Secrets.
///
/// # Errors
/// [`RenderError`].
pub async fn render(directory: &Path, config: &Config, now: Timestamp) -> Result<Rendered, RenderError> {
    let world = Directory::open(Layout::open(directory, &directory.join(NOTES))?)?;
    let mut manifests = Manifests::new(directory);
    manifests.read()?;
    let admitted = Admission::with_services().admit(&manifests, &Checkers::new()?, &world.resources, now);
    let Admitted { app_credentials, webhooks, webhook_credentials, declared, complaints, ignored, .. } = admitted;
    world.declare(Declared { services_assumed: true, ..declared });
    world.resources.accept(app_credentials);
    world.resources.accept(webhooks);
    world.resources.accept(webhook_credentials);
    reconcile_all::<AppCredential>(&world, config, now).await?;
    reconcile_all::<WebhookCredential>(&world, config, now).await?;
    // Last: whether a credential is there shows in its record.
    reconcile_all::<Webhook>(&world, config, now).await?;
    Ok(Rendered { world, complaints, ignored })
}

async fn reconcile_all<K: Steps>(world: &Directory, config: &Config, now: Timestamp) -> Result<(), ApplyError>
where
    Directory: World<K>,
    Resources: Of<K>,
{
    let resources: Vec<K> = world.objects().iter().cloned().collect();
    for resource in resources {
        steps::reconcile(world, &resource, config, now, entropy).await?;
    }
    Ok(())
}
