//! From the API's answer to the PATCH `revoked: true` until each of three servers says `{"active":false}`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::ControlPlane;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use snaphook::crd::AppCredential;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    snaphook::{Installation, name},
    table::{Table, quantile},
};

const SERVERS: usize = 3;

pub(crate) async fn measure(plane: &ControlPlane, samples: usize, table: &mut Table) -> Result<()> {
    let installation = Installation::new(plane).await?;
    let controller = installation.controller().await?;
    let mut servers = Vec::new();
    for index in 0..SERVERS {
        servers.push(installation.server(&format!("server-{index}")).await?);
    }
    installation.create::<AppCredential>(0..samples + 1).await?;
    installation.all_ready::<AppCredential>(samples + 1).await?;
    let caller = basic(&installation.credentials(samples).await?);
    let mut latencies = Vec::new();
    for index in 0..samples {
        let token = get_token(&servers[0].1, &installation.credentials(index).await?).await?;
        for (_, address, _) in &servers {
            let mut connection = Connection::open(address).await?;
            anyhow::ensure!(connection.is_active(&caller, &token).await?, "{} is not active yet", name(index));
        }
        let patch = Patch::Merge(json!({ "spec": { "revoked": true } }));
        installation.of::<AppCredential>().patch(&name(index), &PatchParams::default(), &patch).await?;
        let answered = Instant::now();
        let watches = servers.iter().map(|(_, address, _)| until_inactive(address, &caller, &token, answered));
        for latency in futures::future::try_join_all(watches).await? {
            latencies.push(latency.as_secs_f64() * 1000.0);
        }
    }
    latencies.sort_by(f64::total_cmp);
    table.row(
        &format!(
            "PATCH `revoked: true` answered → `{{\"active\":false}}` on each of 3 servers, p50 / p99 / max of {samples}"
        ),
        "p99 ≤ 250 ms",
        "p99 ≤ 50 ms",
        format!(
            "{:.1} / {:.1} / {:.1} ms",
            quantile(&latencies, 0.5),
            quantile(&latencies, 0.99),
            quantile(&latencies, 1.0)
        ),
    );
    for (server, _, _) in servers {
        server.stop().await?;
    }
    controller.stop().await?;
    Ok(())
}

async fn until_inactive(address: &str, caller: &str, token: &str, answered: Instant) -> Result<Duration> {
    let mut connection = Connection::open(address).await?;
    while connection.is_active(caller, token).await? {
        anyhow::ensure!(answered.elapsed() < Duration::from_secs(30), "still active");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(answered.elapsed())
}

fn basic((client_id, secret): &(String, String)) -> String {
    STANDARD.encode(format!("{client_id}:{secret}"))
}

pub(crate) async fn get_token(address: &str, credentials: &(String, String)) -> Result<String> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.post("/oauth/token", &basic(credentials), "grant_type=client_credentials").await?;
    Ok(answer["access_token"].as_str().context("no token")?.to_owned())
}

struct Connection(TcpStream);

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        Ok(Self(TcpStream::connect(address).await?))
    }

    async fn is_active(&mut self, caller: &str, token: &str) -> Result<bool> {
        let answer = self.post("/oauth/introspect", caller, &format!("token={token}")).await?;
        answer["active"].as_bool().context("no answer")
    }

    async fn post(&mut self, path: &str, caller: &str, body: &str) -> Result<serde_json::Value> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {caller}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let read = self.0.read(&mut chunk).await?;
            anyhow::ensure!(read > 0, "the server closed the connection");
            answer.extend_from_slice(&chunk[..read]);
            let text = std::str::from_utf8(&answer)?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| body.len() >= length) {
                return Ok(serde_json::from_str(body)?);
            }
        }
    }
}
