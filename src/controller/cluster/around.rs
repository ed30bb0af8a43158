//! Flow 1, step 1: what only one kind depends on, as the cluster has it.

use std::future::Future;

use super::Cluster;
use crate::{
    controller::{
        app_credential::fetch::Around as AppCredentialAround, apply::ApplyError, fetch::Depth, steps::Steps,
        watches::Of as _,
    },
    crd::AppCredential,
};

/// Looks at what only one kind depends on.
pub trait Surroundings<K: Steps> {
    /// Looks.
    fn around(&self, resource: &K, depth: Depth) -> impl Future<Output = Result<K::Around, ApplyError>> + Send;
}

impl Surroundings<AppCredential> for Cluster {
    async fn around(&self, resource: &AppCredential, _: Depth) -> Result<AppCredentialAround, ApplyError> {
        let all: Vec<_> = self.all_resources.iter().flat_map(|resources| resources.of().state()).collect();
        Ok(AppCredentialAround::of(resource, all.iter().filter_map(|guarded| guarded.0.as_ref().ok())))
    }
}
