//! What comes in from outside, through a real controller of Ingress and Gateway API.

use anyhow::{Result, ensure};
use cluster::wait_for;
use serde_json::{Value, json};

use crate::{SOON, Suite, TEAM};

/// Entry points of Traefik as curl's `--connect-to`: the URL is the real one, the connection goes there.
const INGRESS: &str = "::traefik.traefik.svc:80";
const GATEWAY: &str = "::traefik.traefik.svc:81";

pub(crate) fn by_ingress_and_http_route(suite: &Suite) -> Result<String> {
    let id = suite.cluster.secret_value(TEAM, "load-credential", "client-id")?;
    let secret = suite.cluster.secret_value(TEAM, "load-credential", "client-secret")?;
    for (entry, webhook) in [(INGRESS, "by-ingress"), (GATEWAY, "by-gateway")] {
        let answer = wait_for("a token from outside", SOON, || {
            let user = format!("{id}:{secret}");
            let form = "grant_type=client_credentials";
            let answer = suite.curl(&[
                "--connect-to",
                entry,
                "-u",
                &user,
                "-d",
                form,
                "http://auth.example.test/oauth/token",
            ])?;
            Ok(serde_json::from_str::<Value>(&answer).ok())
        })?;
        ensure!(answer["token_type"] == "Bearer", "no token through {entry}: {answer}");
        let wrong = if entry == INGRESS { GATEWAY } else { INGRESS };
        let other = suite.post(webhook, wrong, &json!({"door": "wrong"}))?;
        ensure!(other == "404", "{webhook} answers {other} at the wrong door");
        wait_for("the route", SOON, || {
            let status = suite.post(webhook, entry, &json!({"door": webhook}))?;
            Ok((status == "202" || status == "200").then_some(()))
        })?;
        suite.wait_received(&format!(r#"{{"door":"{webhook}"}}"#))?;
        let webhook = format!("webhook/{webhook}");
        suite.cluster.kubectl(&["wait", "--for=condition=RouteAccepted", "--timeout=2m", "-n", TEAM, &webhook])?;
    }
    Ok(String::new())
}
