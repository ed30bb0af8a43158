//! Flow 1: which replica of the controller works: a Lease with resource versions as preconditions, after client-go's rules.
//!
//! * A Lease is judged by how long *we* have seen it unchanged, so clocks of others do not matter.
//! * A leader that could not renew for the renew deadline stops its work while nobody else can have the Lease yet, and campaigns again.
//! * A leader that ends gives the Lease back, so that the next one starts at once.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use tokio::time::{sleep, timeout, timeout_at};

use crate::{config::LeaderElection, crd::FIELD_MANAGER, shutdown::Shutdown};

/// A candidate for the Lease.
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
    settings: LeaderElection,
    /// The Lease as last seen, and since when it has looked like that.
    observed: Option<(Lease, Instant)>,
}

/// Why the Lease could not be taken or renewed.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("the Lease could not be reached")]
    Unreachable(#[source] kube::Error),
    #[error("the API server did not answer in time")]
    Silent,
}

impl Candidate {
    /// A candidate called `identity`. The client should not retry by itself: a late answer is worse than none.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, settings: LeaderElection) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity, settings, observed: None }
    }

    /// Works whenever it leads, until it is asked to end; then the Lease is given back.
    pub async fn lead<W: Future<Output = ()>>(&mut self, shutdown: &Shutdown, mut work: impl FnMut() -> W) {
        loop {
            let taken = tokio::select! {
                taken = self.campaign() => taken,
                () = shutdown.requested() => break,
            };
            tracing::info!(identity = self.identity, "leading");
            tokio::select! {
                () = work() => {}
                () = shutdown.requested() => break,
                () = self.keep(taken) => tracing::warn!(identity = self.identity, "lost the Lease; campaigning again"),
            }
        }
        self.release().await;
    }

    /// Works once, as soon as the Lease is free, and removes the Lease: nobody is to follow. Nothing, where it was lost meanwhile.
    pub async fn lead_last<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let taken = self.campaign().await;
        let done = tokio::select! {
            done = work => Some(done),
            () = self.keep(taken) => None,
        };
        if done.is_some() && self.leases.delete(&self.settings.lease_name, &DeleteParams::default()).await.is_err() {
            tracing::warn!("the Lease could not be removed; it will expire");
        }
        done
    }

    /// Waits until the Lease is ours. Returns when the request that took it was sent.
    async fn campaign(&mut self) -> Instant {
        let mut complained = false;
        loop {
            let sent = Instant::now();
            match timeout(self.settings.renew_deadline.into(), self.take_or_renew()).await {
                Ok(Ok(true)) => return sent,
                Ok(Ok(false)) => complained = false,
                Ok(Err(error)) if !complained => {
                    complained = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "campaigning");
                }
                Err(_) if !complained => {
                    complained = true;
                    tracing::warn!(error = %LeaseError::Silent, "campaigning");
                }
                _ => {}
            }
            sleep(self.settings.retry_period.into()).await;
        }
    }

    /// Renews; returns when that has failed for the renew deadline, or at once when another has the Lease.
    async fn keep(&mut self, taken: Instant) {
        let mut renewed = taken;
        loop {
            sleep(self.settings.retry_period.into()).await;
            let deadline = renewed + Duration::from(self.settings.renew_deadline);
            let sent = Instant::now();
            match timeout_at(deadline.into(), self.take_or_renew()).await {
                Ok(Ok(true)) => renewed = sent,
                Ok(Err(error)) if Instant::now() < deadline => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the Lease could not be renewed yet");
                }
                Ok(Ok(false) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// One try. False: another has it.
    async fn take_or_renew(&mut self) -> Result<bool, LeaseError> {
        let found = self.leases.get_opt(&self.settings.lease_name).await.map_err(LeaseError::Unreachable)?;
        let Some(found) = found else {
            let lease = self.lease(None);
            return self.settle(self.leases.create(&params(), &lease).await);
        };
        self.observe(&found);
        if !self.is_ours(&found) && !self.is_free(&found) {
            return Ok(false);
        }
        let lease = self.lease(Some(&found));
        self.settle(self.leases.replace(&self.settings.lease_name, &params(), &lease).await)
    }

    fn settle(&self, written: kube::Result<Lease>) -> Result<bool, LeaseError> {
        match written {
            Ok(lease) => Ok(self.is_ours(&lease)),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(LeaseError::Unreachable(error)),
        }
    }

    fn observe(&mut self, found: &Lease) {
        let unchanged = self.observed.as_ref().is_some_and(|(seen, _)| seen.spec == found.spec);
        if !unchanged {
            self.observed = Some((found.clone(), Instant::now()));
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(&self.identity)
    }

    fn is_free(&self, lease: &Lease) -> bool {
        let life = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let life = Duration::from_secs(u64::try_from(life).unwrap_or_default());
        holder(lease).is_none() || self.observed.as_ref().is_some_and(|(_, since)| since.elapsed() >= life)
    }

    fn lease(&self, found: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let renewal = found.is_some_and(|lease| self.is_ours(lease));
        let transitions = spec.lease_transitions.unwrap_or_default();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.lease_name.clone()),
                resource_version: found.and_then(|lease| lease.metadata.resource_version.clone()),
                uid: found.and_then(|lease| lease.metadata.uid.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.settings.lease_duration.as_secs()).ok(),
                acquire_time: if renewal { spec.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if renewal || found.is_none() { transitions } else { transitions + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Gives the Lease back, if it is still ours.
    async fn release(&mut self) {
        let release = async {
            let found = self.leases.get_opt(&self.settings.lease_name).await.ok().flatten();
            let Some(found) = found.filter(|lease| self.is_ours(lease)) else { return };
            let mut lease = self.lease(Some(&found));
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
            }
            if self.leases.replace(&self.settings.lease_name, &params(), &lease).await.is_ok() {
                tracing::info!(identity = self.identity, "gave the Lease back");
            }
        };
        if timeout(self.settings.retry_period.into(), release).await.is_err() {
            tracing::warn!(identity = self.identity, "the Lease could not be given back; it will expire");
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}
