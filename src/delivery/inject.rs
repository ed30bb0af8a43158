//! Flow 3, pure: adds a credential to an outgoing call. It replaces whatever the call already says under that name.
//!
//! The checks are public because the controller makes them when a resource is written; the server makes them again when it sends.

mod field;
mod query;
mod value;

use hyper::{HeaderMap, header::HeaderName, header::HeaderValue};
use zeroize::Zeroizing;

pub use field::{FieldError, RESERVED, check_field_name, check_headers, check_value};
pub(super) use field::{folded, reserved};
pub use value::{Part, PartError, value_of};

use crate::record::{InjectionRecord, Location};

/// Adds the credential to a call: to `headers`, or to the query of `url`.
///
/// # Errors
/// Where the record holds what no checked resource could have: nothing is changed then.
pub fn inject(
    record: &InjectionRecord,
    url: &mut Zeroizing<String>,
    headers: &mut HeaderMap,
) -> Result<(), FieldError> {
    let (name, value) = (record.field_name.as_str(), check_value(record.value.expose())?);
    check_field_name(record.location, name)?;
    match record.location {
        Location::Header => replace_header(headers, name, value)?,
        Location::QueryParam => *url = query::set_parameter(url, name, value),
    }
    Ok(())
}

/// Sets a header whose name and value are checked here, and removes all others that a receiver could take for it.
///
/// # Errors
/// [`FieldError`]; nothing is changed then.
pub fn set_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), FieldError> {
    check_field_name(Location::Header, name)?;
    replace_header(headers, name, check_value(value)?)
}

fn replace_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), FieldError> {
    let parsed = HeaderName::try_from(name).map_err(|_| FieldError::NotAHeaderName)?;
    let mut value = HeaderValue::try_from(value).map_err(|_| FieldError::ControlCharacter)?;
    value.set_sensitive(true);
    remove_header(headers, name);
    headers.insert(parsed, value);
    Ok(())
}

/// Removes all headers that a receiver could take for `name`: CGI, WSGI and PHP make `client-id` and `client_id` one variable.
fn remove_header(headers: &mut HeaderMap, name: &str) {
    let wanted = field::folded(name);
    let same = headers.keys().filter(|present| field::folded(present.as_str()) == wanted);
    for present in same.cloned().collect::<Vec<_>>() {
        headers.remove(present);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Confidential, Source, VERSION};

    fn record(location: Location, field_name: &str, value: Confidential) -> InjectionRecord {
        let source = Source {
            kind: "WebhookCredential".to_owned(),
            namespace: "ns".to_owned(),
            name: "pager".to_owned(),
            uid: "uid".to_owned(),
        };
        InjectionRecord { version: VERSION, source, location, field_name: field_name.to_owned(), value }
    }

    fn injected(record: &InjectionRecord, url: &str, headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut url = Zeroizing::new(url.to_owned());
        let named = |&(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let mut map: HeaderMap<HeaderValue> = HeaderMap::new();
        for (name, value) in headers.iter().map(named) {
            map.append(name, value);
        }
        inject(record, &mut url, &mut map).unwrap();
        let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        (url.to_string(), map.iter().map(line).collect())
    }

    fn plain(text: &str) -> Confidential {
        text.to_owned().into()
    }

    #[test]
    fn a_client_id_is_sent_as_it_is() {
        let value = || value_of("link", None).unwrap();
        let (url, headers) = injected(&record(Location::Header, "clientid", value()), "/", &[]);
        assert_eq!((url.as_str(), headers), ("/", vec!["clientid: link".to_owned()]));
        let (url, headers) = injected(&record(Location::QueryParam, "clientid", value()), "/", &[]);
        assert_eq!((format!("POST {url}").as_str(), headers), ("POST /?clientid=link", vec![]));
    }

    #[test]
    fn an_id_and_a_secret_are_sent_joined_in_base64() {
        let value = || value_of("link", Some("epona")).unwrap();
        let (url, headers) = injected(&record(Location::Header, "clientid", value()), "/", &[]);
        assert_eq!((url.as_str(), headers), ("/", vec!["clientid: bGlua2Vwb25h".to_owned()]));
        let (url, headers) = injected(&record(Location::QueryParam, "clientid", value()), "/", &[]);
        assert_eq!((format!("POST {url}").as_str(), headers), ("POST /?clientid=bGlua2Vwb25h", vec![]));
    }

    #[test]
    fn a_header_replaces_all_that_a_receiver_could_take_for_it() {
        let record = record(Location::Header, "X-Api-Key", plain("ours"));
        let sent = [
            ("x-api-key", "theirs"),
            ("X-API-KEY", "theirs too"),
            ("x_api_key", "in CGI's spelling"),
            ("x-api-keys", "another"),
        ];
        let (url, headers) = injected(&record, "/?x-api-key=stays", &sent);
        assert_eq!(url, "/?x-api-key=stays");
        assert_eq!(headers, ["x-api-keys: another", "x-api-key: ours"]);
    }

    #[test]
    fn a_record_that_no_controller_wrote_changes_nothing() {
        for (location, name, value, problem) in [
            (Location::Header, "Host", "link", FieldError::Reserved("host")),
            (Location::Header, "X-Key", "a\r\nX-Evil: 1", FieldError::LineBreak),
            (Location::QueryParam, "a&b", "link", FieldError::NotAParameterName),
            (Location::QueryParam, "a", "", FieldError::Empty),
        ] {
            let (mut url, mut headers) = (Zeroizing::new("/".to_owned()), HeaderMap::new());
            let result = inject(&record(location, name, plain(value)), &mut url, &mut headers);
            assert_eq!((result, url.as_str(), headers.len()), (Err(problem), "/", 0), "{name} {value}");
        }
    }

    #[test]
    fn the_newline_of_a_file_is_not_sent() {
        let (_, headers) = injected(&record(Location::Header, "Authorization", plain("Bearer x y\n")), "/", &[]);
        assert_eq!(headers, ["authorization: Bearer x y"]);
    }

    #[test]
    fn a_credential_is_not_shown_by_debug() {
        let (mut url, mut headers) = (Zeroizing::new("/".to_owned()), HeaderMap::new());
        let record = record(Location::Header, "clientid", plain("hush-hush"));
        inject(&record, &mut url, &mut headers).unwrap();
        assert!(!format!("{record:?} {headers:?}").contains("hush-hush"));
    }
}
