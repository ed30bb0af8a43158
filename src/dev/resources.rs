//! Flow 1 without a cluster: the resources of all kinds, each kind to be had by its type.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::objects::{Objects, ObjectsError};
use crate::crd::{AppCredential, Kind, Webhook, WebhookCredential};

/// All resources that were accepted and not deleted.
#[derive(Debug)]
pub struct Resources {
    app_credentials: Mutex<Objects<AppCredential>>,
    webhooks: Mutex<Objects<Webhook>>,
    webhook_credentials: Mutex<Objects<WebhookCredential>>,
}

/// The resources of one kind among all.
pub trait Of<K: Kind> {
    /// Those of the kind. Nobody holds on to them while something is awaited.
    fn of(&self) -> MutexGuard<'_, Objects<K>>;
}

impl Of<AppCredential> for Resources {
    fn of(&self) -> MutexGuard<'_, Objects<AppCredential>> {
        lock(&self.app_credentials)
    }
}

impl Of<Webhook> for Resources {
    fn of(&self) -> MutexGuard<'_, Objects<Webhook>> {
        lock(&self.webhooks)
    }
}

impl Of<WebhookCredential> for Resources {
    fn of(&self) -> MutexGuard<'_, Objects<WebhookCredential>> {
        lock(&self.webhook_credentials)
    }
}

impl Resources {
    /// Reads what an earlier run stored.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn open(root: &Path) -> Result<Self, ObjectsError> {
        Ok(Self {
            app_credentials: Mutex::new(Objects::open(root)?),
            webhooks: Mutex::new(Objects::open(root)?),
            webhook_credentials: Mutex::new(Objects::open(root)?),
        })
    }

    /// Accepts resources of one kind.
    pub fn accept<K: Kind>(&self, resources: Vec<K>)
    where
        Self: Of<K>,
    {
        let mut objects = self.of();
        for resource in resources {
            objects.accept(resource);
        }
    }

    /// The uid of every resource of every kind: whoever is made for one of them stays.
    #[must_use]
    pub fn uids(&self) -> BTreeSet<String> {
        let Self { app_credentials, webhooks, webhook_credentials } = self;
        let mut uids = lock(app_credentials).uids();
        uids.append(&mut lock(webhooks).uids());
        uids.append(&mut lock(webhook_credentials).uids());
        uids
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
