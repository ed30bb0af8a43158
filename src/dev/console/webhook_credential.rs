//! Flow 1 without a cluster: a `WebhookCredential` as a person sees it: where its value goes, but never the value.

use super::{Console, Shown};
use crate::{crd::WebhookCredential, record::Location};

impl Shown for WebhookCredential {
    const END: &'static str = "calls are sent without it";

    fn state(&self) -> Option<String> {
        self.status.as_ref()?.last_modified.map(|_| "Active".into())
    }

    fn details(&self, console: &Console) -> String {
        if self.state().is_none() {
            return String::new();
        }
        let place = match self.spec.location {
            Location::Header => "header",
            Location::QueryParam => "parameter",
        };
        format!("  {place:<9}  {}\n  Secret     {}\n", self.spec.field_name, console.secret(self).display())
    }
}
