//! Flow 1, the way out: `kubectl delete` returns when the record is gone, and with it what the server did for it. Needs no valid spec.

use super::{
    apply::{ApplyError, World, has_finalizer},
    steps::Steps,
};

/// Removes what lies outside the resource's namespace. Its Secret goes by its owner reference, or stays with `Retain`.
///
/// # Errors
/// What kept a route, the record or the finalizer; the next run starts over.
pub async fn cleanup<K: Steps, W: World<K>>(world: &W, resource: &K) -> Result<(), ApplyError> {
    if !has_finalizer(resource) {
        return Ok(());
    }
    world.delete_routes(resource).await?;
    world.delete_record(resource).await?;
    world.remove_finalizer(resource).await
}
