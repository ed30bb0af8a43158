//! The very writes of the controller, without a controller: what the API server can take.

use std::{marker::PhantomData, time::Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event, networking::v1::Ingress},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use snaphook::record;

use crate::snaphook::{CONCURRENCY, Installation, Measured, REALM, TEAM, name};

/// What the controller made of one resource.
pub(crate) struct Bare<'a, K> {
    installation: &'a Installation,
    record: Secret,
    secret: Secret,
    route: Option<Ingress>,
    status: Value,
    kind: PhantomData<K>,
}

impl<'a, K: Measured> Bare<'a, K> {
    pub(crate) async fn like_the_first(installation: &'a Installation) -> Result<Self> {
        let first = name(0);
        let secrets = |namespace: &str| Api::<Secret>::namespaced(installation.client.clone(), namespace);
        let routes = Api::<Ingress>::namespaced(installation.client.clone(), REALM);
        let record = secrets(REALM).get(&record::secret_name(K::KIND, TEAM, &first)).await?;
        let secret = secrets(TEAM).get(&format!("{first}-{}", K::SUFFIX)).await?;
        let route = routes.list(&ListParams::default().limit(1)).await?.items.pop();
        let status = installation.of::<K>().get(&first).await?;
        let status = json!(status.status().context("no status")?);
        Ok(Self { installation, record, secret, route, status, kind: PhantomData })
    }

    /// Makes so many more, and returns how many a second.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(crate) async fn make(&self, count: usize) -> Result<f64> {
        let started = Instant::now();
        let each = stream::iter(count..2 * count).map(|index| self.writes_of_one(index));
        each.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
        Ok(count as f64 / started.elapsed().as_secs_f64())
    }

    async fn writes_of_one(&self, index: usize) -> Result<()> {
        let (api, params) = (self.installation.of::<K>(), PostParams::default());
        let created = api.create(&params, &K::make(index)).await?;
        let name = created.name_any();
        let finalizers = json!([{ "op": "add", "path": "/metadata/finalizers", "value": ["snaphook.dev/record"] }]);
        let finalizers = Patch::Json::<()>(serde_json::from_value(finalizers)?);
        api.patch_metadata(&name, &PatchParams::default(), &finalizers).await?;
        self.copy(&self.record, REALM, index).await?;
        self.copy(&self.secret, TEAM, index).await?;
        if let Some(route) = &self.route {
            self.copy(route, REALM, index).await?;
        }
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::KIND,
            "metadata": { "name": name, "uid": created.uid() },
            "status": self.status,
        });
        api.patch_status(&name, &PatchParams::apply("bare").force(), &Patch::Apply(patch)).await?;
        self.tell(&created).await
    }

    async fn copy<O>(&self, object: &O, namespace: &str, index: usize) -> Result<()>
    where
        O: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let mut copy = object.clone();
        let ObjectMeta { labels, annotations, owner_references, .. } = object.meta().clone();
        let name = Some(format!("bare-{index}"));
        *copy.meta_mut() = ObjectMeta { name, labels, annotations, owner_references, ..ObjectMeta::default() };
        let api: Api<O> = Api::namespaced(self.installation.client.clone(), namespace);
        api.create(&PostParams::default(), &copy).await?;
        Ok(())
    }

    async fn tell(&self, resource: &K) -> Result<()> {
        let event = Event {
            metadata: ObjectMeta { name: Some(format!("{}.1", resource.name_any())), ..ObjectMeta::default() },
            action: Some("Reconcile".into()),
            reason: Some("Created".into()),
            note: Some("the Secret is ready to be mounted".into()),
            event_time: Some(MicroTime(Timestamp::now())),
            regarding: Some(resource.object_ref(&())),
            reporting_controller: Some("bare".into()),
            reporting_instance: Some("bare".into()),
            type_: Some("Normal".into()),
            ..Event::default()
        };
        let api = Api::<Event>::namespaced(self.installation.client.clone(), TEAM);
        api.create(&PostParams::default(), &event).await?;
        Ok(())
    }
}
