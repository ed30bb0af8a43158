//! Who may call the API server: keys, tokens and kubeconfigs.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A token with 256 bits from the operating system, in hexadecimal.
pub(crate) fn random_token() -> Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no random bytes"))?;
    Ok(hex(&bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes every write
        text
    })
}

/// The key that signs service-account tokens: RSA as in most clusters, PKCS#8 in PEM.
pub(crate) fn service_account_key() -> Result<String> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
    let der = key.as_der().map_err(|_| anyhow!("no encoding of the RSA key"))?;
    let text = STANDARD.encode(der.as_ref());
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    Ok(iter::once("-----BEGIN PRIVATE KEY-----".into())
        .chain(lines)
        .chain(iter::once("-----END PRIVATE KEY-----\n".into()))
        .collect::<Vec<_>>()
        .join("\n"))
}

/// The users that exist before there is an API server to ask, as `--token-auth-file` has them.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) admin: String,
    pub(crate) controller_manager: String,
}

impl Tokens {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { admin: random_token()?, controller_manager: random_token()? })
    }

    /// Two names, so that the audit log tells them apart.
    pub(crate) fn file(&self) -> String {
        let Self { admin, controller_manager } = self;
        format!(
            "{admin},admin,admin,\"system:masters\"\n\
             {controller_manager},system:kube-controller-manager,kcm,\"system:masters\"\n"
        )
    }
}

/// How kubeconfigs for this API server are written.
#[derive(Debug)]
pub(crate) struct Kubeconfigs {
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
}

impl Kubeconfigs {
    /// A kubeconfig for the bearer of `token`.
    pub(crate) fn for_token(&self, token: &str, file: &Path) -> Result<()> {
        self.write(&json!({ "token": token }), file)
    }

    /// A kubeconfig that acts as another user; `admin` must have the right to.
    pub(crate) fn for_user(&self, admin: &str, user: &str, groups: &[&str], file: &Path) -> Result<()> {
        self.write(&json!({ "token": admin, "as": user, "as-groups": groups }), file)
    }

    fn write(&self, user: &Value, file: &Path) -> Result<()> {
        let Self { url, ca } = self;
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "control-plane", "cluster": { "server": url, "certificate-authority": ca } }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{ "name": "context", "context": { "cluster": "control-plane", "user": "user" } }],
            "current-context": "context",
        });
        fs::write(file, format!("{text:#}\n")).with_context(|| format!("cannot write {}", file.display()))
    }
}
