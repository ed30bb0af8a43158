//! Custom resource definitions that every part of the control plane knows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Request, header};
use kube::Client;
use serde_json::Value;
use tokio::time::sleep;

use crate::plane::ControlPlane;

/// What the garbage collector asks as well: all kinds in one answer.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const SERVED: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Creates custom resource definitions, and waits until the API server serves them and the garbage collector knows
    /// them: by itself it looks for new kinds so seldom that what their resources own stays for 40 s. Again with the same
    /// `manifest`, it does nothing.
    pub async fn install_crds(&self, manifest: &str) -> Result<()> {
        let mut installed = self.installed().lock().await;
        if installed.contains(manifest) {
            return Ok(());
        }
        let apply = ["apply", "--server-side", "-o", "name", "-f", "-"];
        let names = self.kubectl_with_input(&apply, manifest).await?.success()?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"];
        self.kubectl_with_input(&established, manifest).await?.success()?;
        self.discovered(&names).await?;
        self.controller_manager().restart().await?;
        installed.insert(manifest.to_owned());
        Ok(())
    }

    /// Discovery follows a moment after a definition is established, and the garbage collector looks there only once.
    async fn discovered(&self, names: &str) -> Result<()> {
        let (client, deadline) = (self.client().await?, Instant::now() + SERVED);
        let plural_and_group = |name: &'_ str| -> Option<(String, String)> {
            let (plural, group) = name.split_once('/')?.1.split_once('.')?;
            Some((plural.to_owned(), group.to_owned()))
        };
        for name in names.lines() {
            let (plural, group) = plural_and_group(name).with_context(|| format!("not a definition: {name}"))?;
            while !is_discovered(&client, &plural, &group).await? {
                ensure!(Instant::now() < deadline, "{name} is not in the API server's discovery");
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

async fn is_discovered(client: &Client, plural: &str, group: &str) -> Result<bool> {
    let request = Request::get("/apis").header(header::ACCEPT, AGGREGATED).body(Vec::new())?;
    let all: Value = serde_json::from_str(&client.request_text(request).await?)?;
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    Ok(list(&all, "items")
        .iter()
        .filter(|item| item["metadata"]["name"] == group)
        .flat_map(|item| list(item, "versions"))
        .flat_map(|version| list(&version, "resources"))
        .any(|resource| resource["resource"] == plural))
}
