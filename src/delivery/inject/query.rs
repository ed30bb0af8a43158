//! Flow 3, pure: one parameter of a URL's query is set, and not one other byte of the URL changes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

/// Everything but the unreserved characters of RFC 3986, section 2.3, as `encodeURIComponent` and curl do: some receivers split
/// at any `=`, and a bare `+` is a blank to most.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Sets the parameter in the place of the first one of that name, or else at the end of the query, and drops all others of that name,
/// however they are spelled.
pub(super) fn set_parameter(url: &str, name: &str, value: &str) -> Zeroizing<String> {
    let (rest, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pair = Zeroizing::new(pair(name, value));
    let query = Zeroizing::new(replaced(query, name, &pair).join("&"));
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut changed = Zeroizing::new(String::with_capacity(url.len() + pair.len() + 2));
    for part in [base, "?", &query, fragment] {
        changed.push_str(part);
    }
    changed
}

fn replaced<'a>(query: &'a str, name: &str, pair: &'a str) -> Vec<&'a str> {
    let mut written = false;
    let mut segments = Vec::new();
    for segment in query.split('&') {
        if !is_named(segment, name) {
            segments.push(segment);
        } else if !std::mem::replace(&mut written, true) {
            segments.push(pair);
        }
    }
    if !written {
        // A query that is empty or ends in `&` has room for it.
        segments.pop_if(|last| last.is_empty());
        segments.push(pair);
    }
    segments
}

/// Names are compared decoded, with their case. They have no blank, so a `+` in one means another name.
fn is_named(segment: &str, name: &str) -> bool {
    let found = segment.split_once('=').map_or(segment, |(found, _)| found);
    percent_decode_str(found).eq(name.bytes())
}

fn pair(name: &str, value: &str) -> String {
    let mut pair = String::with_capacity(3 * (name.len() + value.len()) + 1);
    pair.extend(utf8_percent_encode(name, ENCODED));
    pair.push('=');
    pair.extend(utf8_percent_encode(value, ENCODED));
    pair
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(url: &str, value: &str) -> String {
        set_parameter(url, "token", value).to_string()
    }

    #[test]
    fn it_is_added_where_there_is_none() {
        for (url, expected) in [
            ("/", "/?token=v"),
            ("/?", "/?token=v"),
            ("/?a", "/?a&token=v"),
            ("/?a=1&", "/?a=1&token=v"),
            ("/?&", "/?&token=v"),
            ("/#f", "/?token=v#f"),
            ("/?a=1#f?x&token=stays", "/?a=1&token=v#f?x&token=stays"),
            ("/a?b?c", "/a?b?c&token=v"),
            ("https://example.net/a%2fb?q=%zz&é", "https://example.net/a%2fb?q=%zz&é&token=v"),
        ] {
            assert_eq!(set(url, "v"), expected, "{url}");
        }
    }

    #[test]
    fn it_replaces_every_spelling_and_every_copy() {
        for (url, expected) in [
            ("/?token=x", "/?token=v"),
            ("/?token", "/?token=v"),
            ("/?token=", "/?token=v"),
            ("/?token=a=b", "/?token=v"),
            ("/?%74oken=x", "/?token=v"),
            ("/?%74%6F%6b%65%6E=x", "/?token=v"),
            ("/?a&token=1&b&tok%65n=2&c&token", "/?a&token=v&b&c"),
            ("/?token=1&", "/?token=v&"),
        ] {
            assert_eq!(set(url, "v"), expected, "{url}");
        }
    }

    #[test]
    fn other_names_stay() {
        for query in
            ["Token=x", "tokens=x", "token+=x", "+token=x", "%2574oken=x", "a=token", "a=1;token=2", "tok en=x"]
        {
            assert_eq!(set(&format!("/?{query}"), "v"), format!("/?{query}&token=v"));
        }
    }

    #[test]
    fn values_are_encoded_where_a_receiver_could_misread_them() {
        assert_eq!(set("/", "a+/=&#?%;\" b"), "/?token=a%2B%2F%3D%26%23%3F%25%3B%22%20b");
        assert_eq!(set("/", "AZaz09-._~"), "/?token=AZaz09-._~");
    }

    /// A query that often has the name, in some spelling.
    fn query() -> impl Strategy<Value = String> {
        let name = prop_oneof!["token", "%74oken", "to%6ben", "%74%6f%6B%65%6e", "[a-z%+=#?;.~-]{0,6}", "(?s).{0,6}"];
        let segment = (name, prop_oneof!["", "=[ -~]{0,6}"]).prop_map(|(name, value)| name + &value);
        prop::collection::vec(segment, 0..6).prop_map(|segments| segments.join("&"))
    }

    fn named(url: &str) -> Vec<String> {
        let before_fragment = url.split('#').next().unwrap();
        let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.filter(|(name, _)| name == "token").map(|(_, value)| value.into_owned()).collect()
    }

    fn others(url: &str) -> Vec<&str> {
        let rest = url.split('#').next().unwrap();
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter(|segment| !is_named(segment, "token") && !segment.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn afterwards_it_is_there_once_and_all_else_is_as_it_was(
            base in "[^?#]{0,12}", query in query(), fragment in "(#[ -~]{0,8})?", value in "[ -~]{1,12}",
        ) {
            let url = format!("{base}?{query}{fragment}");
            let changed = set(&url, &value);
            prop_assert_eq!(named(&changed), [value]);
            prop_assert_eq!(others(&changed), others(&url));
            let start = base + "?";
            prop_assert!(changed.starts_with(&start));
            prop_assert_eq!(changed.split_once('#').map(|(_, tail)| tail), url.split_once('#').map(|(_, tail)| tail));
        }

        #[test]
        fn a_second_time_changes_nothing(url in "[ -~]{0,24}", value in "[ -~]{1,12}") {
            let once = set(&url, &value);
            prop_assert_eq!(set(&once, &value), once);
        }
    }
}
