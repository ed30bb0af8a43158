//! Flow 1 without a cluster: the CRD's schema and rules of every kind.

use crate::crd::{
    app_credential_crd,
    check::{Checker, CheckerError},
    webhook_crd, webhook_credential_crd,
};

/// One for each kind.
pub struct Checkers {
    pub(super) app_credential: Checker,
    pub(super) webhook: Checker,
    pub(super) webhook_credential: Checker,
}

impl Checkers {
    /// Compiles the rules of every kind.
    ///
    /// # Errors
    /// [`CheckerError`].
    pub fn new() -> Result<Self, CheckerError> {
        Ok(Self {
            app_credential: Checker::new(&app_credential_crd())?,
            webhook: Checker::new(&webhook_crd())?,
            webhook_credential: Checker::new(&webhook_credential_crd())?,
        })
    }
}
