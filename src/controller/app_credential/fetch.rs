//! Flow 1, step 1: what only the verdict on an `AppCredential` depends on.

use kube::{Resource as _, ResourceExt as _};

use crate::{controller::fetch::goes_first, crd::AppCredential};

/// What else a reconcile knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// `namespace/name` of the resource that the wanted client id belongs to.
    pub has_client_id: Option<String>,
    /// Ids of the versions that the status lists: their secrets were handed out.
    pub reported_versions: Vec<u32>,
}

impl Around {
    /// Looks at the resource, and at all others.
    pub fn of<'a>(resource: &AppCredential, all: impl Iterator<Item = &'a AppCredential>) -> Self {
        Self { has_client_id: has_client_id(resource, all), reported_versions: reported_versions(resource) }
    }
}

fn reported_versions(resource: &AppCredential) -> Vec<u32> {
    let versions = resource.status.iter().flat_map(|status| &status.versions);
    versions.filter_map(|version| u32::try_from(version.id).ok()).collect()
}

/// The client id: chosen, or `<namespace>.<name>`.
#[must_use]
pub fn client_id(resource: &AppCredential) -> String {
    let default = || format!("{}.{}", resource.namespace().unwrap_or_default(), resource.name_any());
    resource.spec.client_id.clone().unwrap_or_else(default)
}

fn has_client_id<'a>(resource: &AppCredential, all: impl Iterator<Item = &'a AppCredential>) -> Option<String> {
    // A default id has a dot and names its resource, so only chosen ones can meet.
    let wanted = resource.spec.client_id.as_ref()?;
    let same = |other: &&AppCredential| {
        other.meta().uid != resource.meta().uid
            && other.spec.client_id.as_ref() == Some(wanted)
            && goes_first(*other, resource)
    };
    all.filter(same).last().map(|other| format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()))
}
