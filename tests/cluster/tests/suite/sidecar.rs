//! The sidecar example as it is in the documentation, in a namespace with Pod Security "restricted": records mounted, and by API.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{SOON, Suite};

const NAMESPACE: &str = "team-a";
/// The Deployments of the example: how the records arrive.
const VARIANTS: [(&str, &str); 2] = [("orders", "mounted"), ("orders-api", "by API")];
/// Prints the status of a token request with what is mounted, and what is mounted, again and again.
const WATCH: &str = r#"cd /var/run/credential
while true; do
  secret=$(cat client-secret)
  status=$(curl -sS "$(cat token-url)" -d grant_type=client_credentials --data-urlencode client_id@client-id \
    --data-urlencode "client_secret=$secret" -o /dev/null -w '%{http_code}')
  echo "$status $secret"
  sleep 0.1
done"#;

pub(crate) fn serves_its_pod(suite: &Suite) -> Result<String> {
    suite.cluster.apply(NAMESPACE, &suite.example("sidecar")?)?;
    let namespace = suite.cluster.get("", &["namespace", NAMESPACE])?;
    let enforced = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    ensure!(enforced == "restricted", "Pod Security is {enforced}");
    suite.wait_ready(NAMESPACE, "appcredentials,webhooks")?;
    let mut figures = Vec::new();
    for (deployment, variant) in VARIANTS {
        let target = format!("deploy/{deployment}");
        suite.rollout(NAMESPACE, &target)?;
        nothing_is_in_the_app(suite, &target)?;
        post_is_accepted(suite, &target)?;
        let (revoked, rotated) = changes_arrive(suite, &target)?;
        figures.push(format!("{variant} a revocation arrives after {revoked:.1} s, a rotation after {rotated:.1} s"));
    }
    Ok(format!("{} (syncFrequency of our own kubelet: 2 s, by default 60 s)", figures.join("; ")))
}

/// The app's container has neither a token for the API server nor a key nor a record.
fn nothing_is_in_the_app(suite: &Suite, target: &str) -> Result<()> {
    for path in ["/var/run/secrets", "/var/run/snaphook", "/var/lib/snaphook"] {
        let look = suite.in_app(target, &format!("cd {path}"));
        ensure!(look.is_err(), "{target} has {path} in the app's container");
    }
    Ok(())
}

fn post_is_accepted(suite: &Suite, target: &str) -> Result<()> {
    let post = r#"cd /var/run/alerts && curl -sS "$(cat internal-url)" -H "Authorization: Bearer $(cat signing-secret)" \
        -H 'Content-Type: application/json' -d '{}' -o /dev/null -w '%{http_code}'"#;
    let status = suite.in_app(target, post)?;
    ensure!(status.starts_with('2'), "{target}: a post to its own sidecar is answered {status}");
    Ok(())
}

/// How many seconds a revocation and a rotation need to the app's next token request.
fn changes_arrive(suite: &Suite, target: &str) -> Result<(f64, f64)> {
    let watch = suite.cluster.follow(&["exec", "-n", NAMESPACE, target, "-c", "orders", "--", "sh", "-c", WATCH])?;
    let first = watch.line("of a token", SOON, |line| line.starts_with("200 "))?;
    let revoked = patch(suite, r#"{"spec":{"revoked":true}}"#)?;
    watch.line("of a refusal", SOON, |line| line.starts_with("401 "))?;
    let revoked = revoked.elapsed();
    patch(suite, r#"{"spec":{"revoked":null}}"#)?;
    watch.line("of a token again", SOON, |line| line.starts_with("200 "))?;
    let nonce = format!(r#"{{"spec":{{"rotation":{{"nonce":"{target}"}}}}}}"#);
    let rotated = patch(suite, &nonce)?;
    watch.line("of a token with another secret", SOON, |line| line.starts_with("200 ") && line != first)?;
    Ok((revoked.as_secs_f64(), rotated.elapsed().as_secs_f64()))
}

/// When it was started.
fn patch(suite: &Suite, patch: &str) -> Result<Instant> {
    let start = Instant::now();
    suite.cluster.kubectl(&["patch", "-n", NAMESPACE, "appcredential/orders", "--type=merge", "-p", patch])?;
    Ok(start)
}

impl Suite {
    fn in_app(&self, target: &str, script: &str) -> Result<String> {
        self.cluster.kubectl(&["exec", "-n", NAMESPACE, target, "-c", "orders", "--", "sh", "-c", script])
    }
}
