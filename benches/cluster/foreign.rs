//! Memory follows our own objects: tens of thousands of foreign Secrets of 10 KB must not show in the controller.

use anyhow::Result;
use control_plane::ControlPlane;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::PostParams};
use snaphook::crd::AppCredential;

use crate::{
    snaphook::{CONCURRENCY, Installation, TEAM, resident},
    table::Table,
};

const OURS: usize = 100;
const BYTES: usize = 10_000;

pub(crate) async fn measure(plane: &ControlPlane, count: usize, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    installation.create::<AppCredential>(0..OURS).await?;
    installation.all_ready::<AppCredential>(OURS).await?;
    let before = resident(&controller)?;
    let api: Api<Secret> = Api::namespaced(installation.client.clone(), TEAM);
    let create = |index: usize| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &foreign(index)).await.map(drop) }
    };
    stream::iter(0..count).map(create).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    let after = resident(&controller)?;
    table.row(
        &format!("controller's resident memory with {count} foreign Secrets of 10 KB: growth"),
        "< 2 MiB",
        "0",
        format!("{:.2} MiB ({before:.1} → {after:.1})", after - before),
    );
    controller.stop().await?;
    let controller = installation.controller().await?;
    installation.all_ready::<AppCredential>(OURS).await?;
    table.row("the same after a restart: resident", "", "", format!("{:.1} MiB", resident(&controller)?));
    controller.stop().await?;
    Ok(())
}

fn foreign(index: usize) -> Secret {
    Secret {
        metadata: kube::core::ObjectMeta { name: Some(format!("foreign-{index}")), ..Default::default() },
        data: Some([("blob".to_owned(), ByteString(vec![b'x'; BYTES]))].into()),
        ..Secret::default()
    }
}
