//! 1,000 new resources until all are Ready, against a bare client that makes the same writes; writes per resource from the audit log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use control_plane::{AuditEvent, ControlPlane};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use snaphook::{crd::AppCredential, record::SIGNING_KEYS_SECRET};

use crate::{
    snaphook::{CONCURRENCY, Installation, REALM, TEAM, resource},
    table::Table,
};

const COUNT: usize = 1000;

#[expect(clippy::cast_precision_loss, reason = "small counts")]
pub(crate) async fn measure(plane: &ControlPlane, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    let mark = plane.audit().mark()?;
    let started = Instant::now();
    installation.create(COUNT).await?;
    installation.all_ready(COUNT).await?;
    let rate = COUNT as f64 / started.elapsed().as_secs_f64();
    let writes = settled_writes(plane, mark).await?;
    let per_resource = writes as f64 / COUNT as f64;
    table.row("API writes per new AppCredential, Event included", "≤ 5", "", format!("{per_resource:.3}"));
    eprintln!("{:#?}", sorts_of_writes(plane, mark)?);

    let mark = plane.audit().mark()?;
    controller.stop().await?;
    let controller = installation.controller().await?;
    let writes = settled_writes(plane, mark).await?;
    table.row("writes after a restart with 1,000 unchanged ones (Lease left out)", "0", "", writes.to_string());
    controller.stop().await?;

    let bare = bare_client(&installation).await?;
    table.row("1,000 new AppCredentials → all Ready, a second", "≥ 80", "", format!("{rate:.0}"));
    table.row(
        "the same / a bare client with the same writes",
        "",
        "80 %",
        format!("{:.0} % (bare: {bare:.0}/s)", 100.0 * rate / bare),
    );
    Ok(())
}

/// Lease and signing keys are the realm's, and cost the same with one credential and with a thousand.
fn is_ours(event: &AuditEvent) -> bool {
    let of_realm = event.resource == "leases" || event.name == SIGNING_KEYS_SECRET;
    event.is_write() && !of_realm && event.user_agent.starts_with("snaphook-controller")
}

/// The writes since a mark, once none has come for three seconds.
async fn settled_writes(plane: &ControlPlane, mark: control_plane::Mark) -> Result<usize> {
    let mut last = usize::MAX;
    loop {
        let writes = plane.audit().since(mark)?.iter().filter(|event| is_ours(event)).count();
        if writes == last {
            return Ok(writes);
        }
        last = writes;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// How many writes of which sort, and how they were answered: where there are too many, this tells which.
fn sorts_of_writes(plane: &ControlPlane, mark: control_plane::Mark) -> Result<BTreeMap<String, usize>> {
    let mut sorts = BTreeMap::new();
    for event in plane.audit().since(mark)?.iter().filter(|event| is_ours(event)) {
        let AuditEvent { verb, resource, subresource, code, .. } = event;
        *sorts.entry(format!("{verb} {resource}/{subresource} {code}")).or_default() += 1;
    }
    Ok(sorts)
}

/// The very writes of the controller, without a controller: what the API server can take.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
async fn bare_client(installation: &Installation) -> Result<f64> {
    let template_secret = sample(installation, TEAM, "client-00000-credential").await?;
    let records: Api<Secret> = Api::namespaced(installation.client.clone(), REALM);
    let record = records
        .list(&kube::api::ListParams::default())
        .await?
        .items
        .into_iter()
        .find(|secret| secret.name_any().starts_with("appcredential-"))
        .expect("a record");
    let status = installation.resources().get("client-00000").await?.status;
    let started = Instant::now();
    let one = |index: usize| {
        let (secret, record, status) = (template_secret.clone(), record.clone(), status.clone());
        async move { writes_of_one(installation, COUNT + index, secret, record, json!(status)).await }
    };
    stream::iter(0..COUNT).map(one).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    Ok(COUNT as f64 / started.elapsed().as_secs_f64())
}

async fn sample(installation: &Installation, namespace: &str, name: &str) -> Result<Secret> {
    Ok(Api::<Secret>::namespaced(installation.client.clone(), namespace).get(name).await?)
}

async fn writes_of_one(
    installation: &Installation,
    index: usize,
    mut secret: Secret,
    mut record: Secret,
    status: serde_json::Value,
) -> Result<()> {
    let (api, params) = (installation.resources(), PostParams::default());
    let created = api.create(&params, &resource(index)).await?;
    let name = created.name_any();
    let finalizers = json!([{ "op": "add", "path": "/metadata/finalizers", "value": ["snaphook.dev/record"] }]);
    let finalizers = Patch::Json::<()>(serde_json::from_value(finalizers)?);
    api.patch_metadata(&name, &PatchParams::default(), &finalizers).await?;
    for (secret, namespace) in [(&mut record, REALM), (&mut secret, TEAM)] {
        secret.metadata.name = Some(format!("bare-{index}"));
        secret.metadata.resource_version = None;
        secret.metadata.uid = None;
        secret.metadata.managed_fields = None;
        Api::<Secret>::namespaced(installation.client.clone(), namespace).create(&params, secret).await?;
    }
    let patch = json!({
        "apiVersion": AppCredential::api_version(&()),
        "kind": "AppCredential",
        "metadata": { "name": name, "uid": created.uid() },
        "status": status,
    });
    api.patch_status(&name, &PatchParams::apply("bare").force(), &Patch::Apply(patch)).await?;
    let event = Event {
        metadata: kube::core::ObjectMeta { name: Some(format!("{name}.1")), ..Default::default() },
        action: Some("Reconcile".into()),
        reason: Some("Created".into()),
        note: Some("the Secret is ready to be mounted".into()),
        event_time: Some(MicroTime(Timestamp::now())),
        regarding: Some(created.object_ref(&())),
        reporting_controller: Some("bare".into()),
        reporting_instance: Some("bare".into()),
        type_: Some("Normal".into()),
        ..Event::default()
    };
    Api::<Event>::namespaced(installation.client.clone(), TEAM).create(&params, &event).await?;
    Ok(())
}
