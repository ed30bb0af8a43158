//! Flow 3 without a cluster: a call that arrived, as a person sees it: with the credential that was added, but never with its value.
//!
//! A credential may be replaced while a call is under way, and then its value is no longer known. So values are also hidden by their
//! place: of the headers only the content type shows its value, and of the query only the parameters of the Webhooks' own URLs do.

use std::fmt::Write as _;

use axum::{
    body::Bytes,
    http::{HeaderMap, header::CONTENT_TYPE, request::Parts},
};
use form_urlencoded::parse;
use url::Url;

use crate::{
    delivery::{attempt::Mask, inject, sign},
    record::{InjectionRecord, Location, endpoint::Target},
    store::Snapshot,
    terminal,
};

/// So much of a body is shown.
const LONGEST_BODY: usize = 1000;
/// Below the text of a line.
const INDENT: &str = "            ";
const HIDDEN: &str = "***";

/// Several lines without a time: the call, the credential, the body.
pub(super) fn block(parts: &Parts, body: &Bytes, snapshot: &Snapshot) -> String {
    let arrived = Arrived { parts, snapshot, mask: mask(snapshot) };
    let id = parts.headers.get(sign::ID).map(|id| arrived.shown(id.as_bytes())).unwrap_or_default();
    let mut text = format!("{} {}  {id}", arrived.shown(parts.method.as_str().as_bytes()), arrived.target());
    text.truncate(text.trim_end().len());
    let lines = [arrived.headers(), arrived.parameters(), arrived.content_type(), arrived.body(body)].concat();
    for line in lines {
        let _ = write!(text, "\n{INDENT}{line}"); // a String takes everything
    }
    text
}

struct Arrived<'a> {
    parts: &'a Parts,
    snapshot: &'a Snapshot,
    mask: Mask,
}

impl Arrived<'_> {
    fn shown(&self, bytes: &[u8]) -> String {
        terminal::line(&String::from_utf8_lossy(&self.mask.apply(bytes, false)))
    }

    /// The path and the query.
    fn target(&self) -> String {
        let path = self.shown(self.parts.uri.path().as_bytes());
        let Some(query) = self.parts.uri.query() else { return path };
        let pairs: Vec<String> = query.split('&').map(|pair| self.pair(pair)).collect();
        format!("{path}?{}", pairs.join("&"))
    }

    fn pair(&self, pair: &str) -> String {
        let name = pair.split('=').next().unwrap_or_default();
        let is_added = parse(pair.as_bytes()).any(|(name, _)| self.added(Location::QueryParam, &name).next().is_some());
        if !is_added && self.is_configured(pair) {
            return self.shown(pair.as_bytes());
        }
        format!("{}={HIDDEN}", self.shown(name.as_bytes()))
    }

    /// Whether a Webhook's own URL has the parameter.
    fn is_configured(&self, pair: &str) -> bool {
        let targets = self.snapshot.endpoints.values().map(|endpoint| &endpoint.record().delivery.target);
        let urls = targets.filter_map(|target| match target {
            Target::Url(url) => Url::parse(url).ok(),
            Target::Service { .. } | Target::Unresolved(_) => None,
        });
        urls.into_iter().any(|url| url.query().is_some_and(|query| query.split('&').any(|known| known == pair)))
    }

    fn headers(&self) -> Vec<String> {
        let headers = self.parts.headers.iter();
        let lines = headers.filter_map(|(name, value)| {
            let origin = self.origin(Location::Header, name.as_str(), value.as_bytes())?;
            Some(format!("header {name}: {HIDDEN}  {origin}"))
        });
        lines.collect()
    }

    fn parameters(&self) -> Vec<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let lines = parse(query.as_bytes()).filter_map(|(name, value)| {
            let origin = self.origin(Location::QueryParam, &name, value.as_bytes())?;
            Some(format!("parameter {}={HIDDEN}  {origin}", terminal::line(&name)))
        });
        lines.collect()
    }

    /// Where the value under a name is from; absent where no credential goes there.
    fn origin(&self, location: Location, name: &str, value: &[u8]) -> Option<String> {
        let mut added = self.added(location, name).peekable();
        added.peek()?;
        let text = match added.find(|record| sent_value(record).as_bytes() == value) {
            Some(InjectionRecord { source, .. }) => {
                format!("added from WebhookCredential {}/{}", source.namespace, source.name)
            }
            None => "not what a WebhookCredential has now".into(),
        };
        Some(text)
    }

    /// The credentials that go there.
    fn added(&self, location: Location, name: &str) -> impl Iterator<Item = &InjectionRecord> {
        let records = self.snapshot.injections.values().map(AsRef::as_ref);
        records.filter(move |record: &&InjectionRecord| {
            let is_name = match location {
                Location::Header => record.field_name.eq_ignore_ascii_case(name),
                Location::QueryParam => record.field_name == name,
            };
            record.location == location && is_name
        })
    }

    /// JSON goes without saying.
    fn content_type(&self) -> Vec<String> {
        let content_type = self.parts.headers.get(CONTENT_TYPE).filter(|_| !is_json(&self.parts.headers));
        content_type.map(|value| format!("{CONTENT_TYPE}: {}", self.shown(value.as_bytes()))).into_iter().collect()
    }

    fn body(&self, body: &Bytes) -> Vec<String> {
        if body.is_empty() {
            return Vec::new();
        }
        if std::str::from_utf8(body).is_err() {
            return vec![format!("{} bytes that are not text", body.len())];
        }
        let (beginning, is_cut) = (body.get(..LONGEST_BODY).unwrap_or(body), body.len() > LONGEST_BODY);
        let masked = String::from_utf8_lossy(&self.mask.apply(beginning, is_cut)).into_owned();
        let line = masked.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let rest = if is_cut { format!(" … {} bytes in all", body.len()) } else { String::new() };
        vec![terminal::line(&line) + &rest]
    }
}

/// Hides the values that are known, wherever they stand.
fn mask(snapshot: &Snapshot) -> Mask {
    let mut mask = Mask::default();
    snapshot.injections.values().for_each(|record| mask.credential(sent_value(record)));
    mask
}

/// What a call is sent with. A record that no controller wrote is not sent at all.
fn sent_value(record: &InjectionRecord) -> &str {
    inject::check_value(record.value.expose()).unwrap_or_default()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.split(';').next().is_some_and(|media_type| media_type == "application/json"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::Request;
    use serde_json::json;

    use super::*;
    use crate::{
        inbound::Endpoint,
        record::{Source, VERSION},
    };

    const VALUE: &str = "a+b/c d=linkepona";

    fn record(name: &str, location: Location, field_name: &str, value: &str) -> Arc<InjectionRecord> {
        let source =
            Source { kind: "WebhookCredential".into(), namespace: "demo".into(), name: name.into(), uid: "uid".into() };
        let (field_name, value) = (field_name.into(), value.to_owned().into());
        Arc::new(InjectionRecord { version: VERSION, source, location, field_name, value })
    }

    fn snapshot() -> Snapshot {
        let records =
            [record("pager", Location::Header, "X-Key", VALUE), record("query", Location::QueryParam, "key", VALUE)];
        let injections = records.into_iter().map(|record| (record.source.name.clone().into(), record)).collect();
        Snapshot { injections, ..Snapshot::default() }
    }

    fn shown(request: axum::http::request::Builder, body: &'static [u8]) -> String {
        block(&request.body(()).unwrap().into_parts().0, &Bytes::from_static(body), &snapshot())
    }

    #[test]
    fn the_credential_is_named_and_its_value_is_hidden() {
        let request = Request::post("/alerts").header("x-key", VALUE).header("webhook-id", "msg_1");
        let request = request.header("content-type", "application/json; charset=utf-8").header("x-other", "noise");
        let expected = format!(
            "POST /alerts  msg_1\n{INDENT}header x-key: ***  added from WebhookCredential demo/pager\n{INDENT}{{\"a\": 1}}"
        );
        assert_eq!(shown(request, b"{\"a\":\r\n  1}\n"), expected);
    }

    #[test]
    fn a_value_shows_nowhere_however_it_is_written() {
        for uri in ["/?key=a%2Bb%2Fc%20d%3Dlinkepona", "/?x=1&%6bey=a%2bb/c+d=linkepona", "/a%2Bb%2Fc%20d%3Dlinkepona"]
        {
            let text = shown(Request::post(uri).header("content-type", VALUE), b"[\"a+b\\/c d\\u003dlinkepona\"]");
            assert!(!text.contains("linkepona") && text.contains(HIDDEN), "{text}");
        }
    }

    #[test]
    fn a_credential_in_the_query_is_named_too() {
        let text = shown(Request::post("/in?key=a%2Bb%2Fc%20d%3Dlinkepona"), b"");
        let expected = format!("POST /in?key=***\n{INDENT}parameter key=***  added from WebhookCredential demo/query");
        assert_eq!(text, expected);
    }

    #[test]
    fn a_value_that_was_replaced_meanwhile_is_hidden_by_its_place() {
        let text = shown(Request::post("/in?key=former&token=former").header("X-Key", "former"), b"");
        assert!(!text.contains("former"), "{text}");
        assert!(text.starts_with("POST /in?key=***&token=***\n"), "{text}");
        assert!(text.contains("header x-key: ***  not what a WebhookCredential has now"), "{text}");
    }

    #[test]
    fn the_parameters_of_a_webhooks_own_url_are_shown() {
        let mut snapshot = snapshot();
        let endpoint = endpoint("http://127.0.0.1:9000/in?tenant=5&key=theirs");
        snapshot.endpoints.insert("demo/alerts".into(), Arc::new(endpoint));
        let parts = Request::post("/in?tenant=5&key=theirs&more=1").body(()).unwrap().into_parts().0;
        let text = block(&parts, &Bytes::new(), &snapshot);
        assert!(text.starts_with("POST /in?tenant=5&key=***&more=***\n"), "{text}");
    }

    #[test]
    fn a_body_is_one_line_that_is_bounded_and_steers_nothing() {
        let text = shown(Request::post("/").header("content-type", "text/plain"), b"a\x1b[2J\n\tb");
        assert_eq!(text, format!("POST /\n{INDENT}content-type: text/plain\n{INDENT}a\u{fffd}[2J b"));
        assert_eq!(shown(Request::post("/"), b"a\xff"), format!("POST /\n{INDENT}2 bytes that are not text"));
        let text = shown(Request::post("/"), &[b'x'; 5000]);
        assert!(text.ends_with("x … 5000 bytes in all") && text.len() < LONGEST_BODY + 100, "{text}");
    }

    fn endpoint(url: &str) -> Endpoint {
        let record = json!({
            "version": VERSION,
            "source": {"kind": "Webhook", "namespace": "demo", "name": "alerts", "uid": "uid"},
            "urls": [{"id": "id", "createdAt": "2026-01-01T00:00:00Z"}],
            "active": true,
            "inactiveMode": "Reject",
            "maxBodyBytes": 1024,
            "verification": {"type": "None"},
            "secrets": [],
            "handler": {"type": "Raw"},
            "delivery": {
                "target": {"url": url},
                "method": "POST",
                "onMissingCredential": "Hold",
                "timeoutSeconds": 1,
                "retry": {"attempts": 1, "initialDelaySeconds": 1, "maxDelaySeconds": 1},
                "maxInFlight": 1,
                "expireAfterSeconds": 1
            },
            "limits": {}
        });
        Endpoint::new(serde_json::from_value(record).unwrap()).unwrap()
    }
}
