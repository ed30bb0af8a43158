//! Flow 3, pure: from a stored message and the records as they are now to a request, or to why there is none.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Uri,
    header::{ACCEPT_ENCODING, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::{Auth, Outgoing, mask::Mask};
use crate::{
    delivery::{
        egress::Receiver,
        inject,
        retry::Standing,
        sign, target,
        verdict::{DeadReason, HoldReason, Verdict},
    },
    record::{
        EndpointRecord, InjectionRecord,
        endpoint::{self, Delivery, OnMissingCredential, Target},
    },
};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("snaphook/", env!("CARGO_PKG_VERSION")));
/// Nothing is decoded, so nothing can swell.
const NO_ENCODING: HeaderValue = HeaderValue::from_static("identity");

/// A request that is ready to be sent. Holds the credential in its URL or headers, so nothing of them is shown.
pub struct Prepared {
    pub(super) receiver: Receiver,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    pub(super) mask: Mask,
    pub(super) terms: Terms,
}

/// What has to be known when the call has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) at: Timestamp,
    pub(super) auth: Auth,
    pub(super) standing: Standing,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, method, uri, headers: _, body: _, timeout, mask: _, terms } = self;
        let mut shown = formatter.debug_struct("Prepared");
        shown.field("receiver", receiver).field("method", method).field("host", &uri.host());
        shown.field("timeout", timeout).field("terms", terms).finish_non_exhaustive()
    }
}

impl Prepared {
    /// With which credential it goes out.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.terms.auth
    }
}

/// Prepares the next call for a message.
///
/// `destination` is the endpoint's. `credential` is the record of the `WebhookCredential` that the endpoint names, as it is now; one
/// of another name or namespace counts as missing.
///
/// # Errors
/// Why no call is made: the message waits, or has ended.
pub fn prepare(
    endpoint: &EndpointRecord,
    destination: Result<&Destination, HoldReason>,
    credential: Option<&InjectionRecord>,
    outgoing: Outgoing,
    now: Timestamp,
) -> Result<Prepared, Verdict> {
    let delivery = &endpoint.delivery;
    let Outgoing { id, accepted_at, attempts, headers, body } = outgoing;
    let standing = standing(delivery, accepted_at, attempts);
    if let Some(reason) = standing.ended(now) {
        return Err(Verdict::DeadLetter(reason));
    }
    let destination = destination.map_err(Verdict::Hold)?;
    let (credential, auth) = chosen(endpoint, credential)?;
    let mut headers = completed(headers, delivery, &id, &body, now).map_err(Verdict::Hold)?;
    let mask = mask(delivery, credential, &destination.url, &headers);
    let mut uri = destination.uri.clone();
    if let Some(record) = credential {
        let mut url = destination.url.clone();
        inject::inject(record, &mut url, &mut headers).map_err(|_| Verdict::Hold(HoldReason::CredentialInvalid))?;
        if url != destination.url {
            uri = parsed(&url).map_err(Verdict::Hold)?;
        }
    }
    headers.extend(destination.host.clone().map(|host| (HOST, host)));
    Ok(Prepared {
        receiver: destination.receiver,
        method: method(delivery.method),
        uri,
        headers,
        body,
        timeout: Duration::from_secs(delivery.timeout_seconds.max(1).into()),
        mask,
        terms: Terms {
            at: now,
            auth,
            standing: Standing { attempts: standing.attempts.saturating_add(1), ..standing },
        },
    })
}

fn standing(delivery: &Delivery, accepted_at: Timestamp, attempts: u32) -> Standing {
    let life = SignedDuration::from_secs(delivery.expire_after_seconds.into());
    let expires_at = accepted_at.checked_add(life).ok();
    Standing { attempts, expires_at, retry: delivery.retry }
}

/// Where the calls of an endpoint go, before a credential is added: the same for all of them.
pub struct Destination {
    receiver: Receiver,
    url: Zeroizing<String>,
    uri: Uri,
    /// The `Host` header, where it is not what the URL says.
    host: Option<HeaderValue>,
}

/// The path may have a token in it.
impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Destination").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

impl Destination {
    /// Of a target.
    ///
    /// # Errors
    /// Why nothing can be sent there.
    pub fn of(target: &Target) -> Result<Self, HoldReason> {
        let (receiver, url, host) = match target {
            Target::Url(text) => {
                let url = target::parse(text).map_err(|_| HoldReason::TargetInvalid)?;
                (Receiver::Url, Zeroizing::new(url.into()), None)
            }
            Target::Service { host, address, port, path } => {
                let (url, host) = service(host, *address, *port, path)?;
                (Receiver::Service, url, Some(host))
            }
            Target::Unresolved(_) => return Err(HoldReason::TargetUnresolved),
        };
        Ok(Self { receiver, uri: parsed(&url)?, url, host })
    }
}

fn parsed(url: &str) -> Result<Uri, HoldReason> {
    Uri::try_from(url).map_err(|_| HoldReason::TargetInvalid)
}

fn service(host: &str, address: IpAddr, port: u16, path: &str) -> Result<(Zeroizing<String>, HeaderValue), HoldReason> {
    if !path.starts_with('/') || path.contains('#') {
        return Err(HoldReason::TargetInvalid);
    }
    let url = Zeroizing::new(format!("http://{}{path}", SocketAddr::new(address, port)));
    let host = HeaderValue::try_from(host).map_err(|_| HoldReason::TargetInvalid)?;
    Ok((url, host))
}

fn chosen<'a>(
    endpoint: &EndpointRecord,
    found: Option<&'a InjectionRecord>,
) -> Result<(Option<&'a InjectionRecord>, Auth), Verdict> {
    let Some(wanted) = &endpoint.delivery.credential else { return Ok((None, Auth::NotWanted)) };
    let is_wanted = |record: &&InjectionRecord| {
        record.source.name == *wanted && record.source.namespace == endpoint.source.namespace
    };
    match (found.filter(is_wanted), endpoint.delivery.on_missing_credential) {
        (Some(record), _) => Ok((Some(record), Auth::Sent)),
        (None, OnMissingCredential::SendUnauthenticated) => Ok((None, Auth::Missing)),
        (None, OnMissingCredential::Hold) => Err(Verdict::Hold(HoldReason::CredentialMissing)),
        (None, OnMissingCredential::DeadLetter) => Err(Verdict::DeadLetter(DeadReason::CredentialMissing)),
    }
}

/// All headers but the credential: the sender's, then the Webhook's, then ours.
fn completed(
    mut headers: HeaderMap,
    delivery: &Delivery,
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<HeaderMap, HoldReason> {
    headers.insert(USER_AGENT, AGENT);
    for (name, value) in &delivery.headers {
        inject::set_header(&mut headers, name, value).map_err(|_| HoldReason::HeadersInvalid)?;
    }
    headers.insert(ACCEPT_ENCODING, NO_ENCODING);
    let mut set = |name, value: &str| {
        let value = HeaderValue::try_from(value).map_err(|_| HoldReason::HeadersInvalid)?;
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    set(sign::ID, id)?;
    let secrets = &delivery.signing_secrets;
    if !secrets.is_empty() {
        let signature = sign::sign(secrets, id, now, body);
        set(sign::TIMESTAMP, &now.as_second().to_string())?;
        set(sign::SIGNATURE, &signature.map_err(|_| HoldReason::SigningSecretInvalid)?)?;
    }
    Ok(headers)
}

/// What must not be kept of the answer. The path counts too: many a receiver's URL has a token in it.
fn mask(delivery: &Delivery, credential: Option<&InjectionRecord>, url: &str, headers: &HeaderMap) -> Mask {
    let mut mask = Mask::default();
    if let Some(record) = credential {
        mask.credential(inject::check_value(record.value.expose()).unwrap_or_default());
    }
    delivery.headers.values().for_each(|value| mask.rather_long(value.trim()));
    if let Some(signatures) = headers.get(sign::SIGNATURE).and_then(|value| value.to_str().ok()) {
        signatures.split(' ').for_each(|signature| mask.rather_long(signature));
    }
    if let Some(path) = url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|start| rest.get(start..))) {
        mask.rather_long(path);
    }
    mask
}

fn method(method: endpoint::Method) -> Method {
    match method {
        endpoint::Method::Post => Method::POST,
        endpoint::Method::Put => Method::PUT,
        endpoint::Method::Patch => Method::PATCH,
    }
}

#[cfg(test)]
mod tests;
