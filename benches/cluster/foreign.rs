//! Memory follows our own objects: 5,000 foreign Secrets of 10 KB must not show in the controller.

use anyhow::Result;
use control_plane::ControlPlane;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::PostParams};

use crate::{
    snaphook::{CONCURRENCY, Installation, TEAM, resident},
    table::Table,
};

const COUNT: usize = 5000;
const BYTES: usize = 10_000;

pub(crate) async fn measure(plane: &ControlPlane, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    installation.create(100).await?;
    installation.all_ready(100).await?;
    let before = resident(&controller)?;
    let api: Api<Secret> = Api::namespaced(installation.client.clone(), TEAM);
    let create = |index: usize| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &foreign(index)).await.map(drop) }
    };
    stream::iter(0..COUNT).map(create).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    let after = resident(&controller)?;
    table.row(
        "controller's resident memory with 5,000 foreign Secrets of 10 KB: growth",
        "< 2 MiB",
        "0",
        format!("{:.2} MiB ({before:.1} → {after:.1})", after - before),
    );
    controller.stop().await?;
    let controller = installation.controller().await?;
    installation.all_ready(100).await?;
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
