//! `kubectl snaphook token`, pure: what a token says, for a person. Nothing is checked: the server has just issued it.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::Value;

/// The claims, by name.
pub(super) fn decode(token: &str) -> Option<BTreeMap<String, Value>> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// One line a claim.
pub(super) fn table(claims: &BTreeMap<String, Value>, now: Timestamp) -> String {
    let width = claims.keys().map(String::len).max().unwrap_or_default();
    claims.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:width$}  {}", shown(name, value, now)); // a String takes everything
        text
    })
}

fn shown(name: &str, value: &Value, now: Timestamp) -> String {
    let moment = value.as_i64().filter(|_| matches!(name, "exp" | "iat" | "nbf"));
    match (moment.and_then(|second| Timestamp::from_second(second).ok()), value) {
        (Some(moment), _) if name == "exp" => {
            format!("{moment} (in {}s)", moment.duration_since(now).as_secs())
        }
        (Some(moment), _) => moment.to_string(),
        (None, Value::String(text)) => text.clone(),
        (None, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_and_times_are_told() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"ns.app","exp":1000300,"iat":1000000,"aud":["a","b"]}"#);
        let claims = decode(&format!("x.{payload}.y")).unwrap();
        let table = table(&claims, Timestamp::from_second(1_000_000).unwrap());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            ["aud  [\"a\",\"b\"]", "exp  1970-01-12T13:51:40Z (in 300s)", "iat  1970-01-12T13:46:40Z", "sub  ns.app"]
        );
        for bad in ["", "x", "x.y", "x.!.y", "x..y"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
