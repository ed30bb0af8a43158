//! Flow 1, step 1: what only the verdict on a `WebhookCredential` depends on.

use kube::{Resource as _, ResourceExt as _};

use crate::crd::{Kind as _, Webhook, WebhookCredential, webhook_credential::UsedBy};

/// So many names stand in the status.
const MAX_NAMES: usize = 50;

/// What else a reconcile knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The Webhooks that name it.
    pub used_by: UsedBy,
}

impl Around {
    /// Looks at all Webhooks.
    pub fn of<'a>(resource: &WebhookCredential, webhooks: impl Iterator<Item = &'a Webhook>) -> Self {
        let (name, namespace) = (resource.name_any(), resource.namespace());
        let names_it =
            |webhook: &&Webhook| webhook.meta().namespace == namespace && webhook.credential() == Some(name.as_str());
        let mut names: Vec<String> = webhooks.filter(names_it).map(kube::ResourceExt::name_any).collect();
        names.sort_unstable();
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        names.truncate(MAX_NAMES);
        Self { used_by: UsedBy { count, webhooks: names } }
    }
}
