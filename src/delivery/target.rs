//! Flows 1 and 3, pure: which URLs messages may be delivered to, as far as the text tells. Where a name leads is for the egress guard.

use url::Url;

/// Why a URL is refused, as the predicate of a sentence, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL at all.
    #[error("is not a URL: {0}; write it like https://hooks.example.net/in")]
    NotAUrl(url::ParseError),
    /// Neither of the two schemes.
    #[error("has another scheme than http or https")]
    Scheme,
    /// RFC 9110, section 4.2.4.
    #[error("has a user name or password: remove it, and use a WebhookCredential instead")]
    UserInfo,
    /// Fragments are never sent: RFC 9110, section 7.1.
    #[error("has a fragment, which is never sent: remove # and what follows")]
    Fragment,
    /// Nothing listens there.
    #[error("has port 0")]
    Port,
    /// Two programs could read it differently, as with an IP address in an odd spelling.
    #[error("is not in canonical form: write it as {canonical}")]
    NotCanonical {
        /// The form that is accepted.
        canonical: String,
    },
}

/// Checks a URL and returns its canonical form, from which it may differ by the slash of an empty path alone.
///
/// # Errors
/// The first of the reasons to refuse it. The message may quote the URL, so it is for whoever wrote that.
pub fn parse(text: &str) -> Result<Url, TargetError> {
    let url = Url::parse(text).map_err(TargetError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(TargetError::Fragment);
    }
    if url.port() == Some(0) {
        return Err(TargetError::Port);
    }
    if !is_canonical(&url, text) {
        return Err(TargetError::NotCanonical { canonical: url.into() });
    }
    Ok(url)
}

/// RFC 9110, section 4.2.3: an empty path is the same as `/`.
fn is_canonical(url: &Url, text: &str) -> bool {
    url.as_str() == text || (url.path() == "/" && url.query().is_none() && url.as_str().strip_suffix('/') == Some(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_urls_are_taken_as_they_are() {
        for text in [
            "https://hooks.example.net/in",
            "http://hooks.example.net/",
            "http://example.net:8080/a/b?c=d&e=%2f",
            "https://hooks.example.net./in",
            "http://127.0.0.1:9000/",
            "http://[2001:db8::1]:8080/in",
            "https://xn--bcher-kva.example/",
            "https://example.net/?",
            "https://example.net//a%2Fb;c=d/%7e",
        ] {
            assert_eq!(parse(text).map(String::from), Ok(text.to_owned()));
        }
        assert_eq!(parse("https://example.net").map(String::from), Ok("https://example.net/".to_owned()));
    }

    #[test]
    fn other_spellings_are_refused_with_the_canonical_one() {
        for (text, canonical) in [
            ("HTTPS://example.net/", "https://example.net/"),
            ("https://Example.net/", "https://example.net/"),
            ("https://example.net:443/", "https://example.net/"),
            ("http://example.net:080/", "http://example.net/"),
            ("https://example.net?a", "https://example.net/?a"),
            ("https://example.net/a/../b", "https://example.net/b"),
            ("https://example.net/%2e%2e/b", "https://example.net/b"),
            ("https://example.net/a b", "https://example.net/a%20b"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            (" https://example.net/", "https://example.net/"),
            ("https://exam\nple.net/", "https://example.net/"),
            ("https:\\\\example.net\\a", "https://example.net/a"),
            ("https:example.net", "https://example.net/"),
            ("https:///example.net/", "https://example.net/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://127.1/", "http://127.0.0.1/"),
            ("http://0177.0.0.1/", "http://127.0.0.1/"),
            ("http://127.0.0.1./", "http://127.0.0.1/"),
            ("http://①②⑦.0.0.1/", "http://127.0.0.1/"),
            ("http://%31%32%37.0.0.1/", "http://127.0.0.1/"),
            ("http://0xa9fea9fe/", "http://169.254.169.254/"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
            ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, TargetError::NotCanonical { canonical: canonical.to_owned() }, "{text}");
            assert!(error.to_string().ends_with(canonical));
        }
    }

    #[test]
    fn what_cannot_be_delivered_to_is_refused() {
        for (text, error) in [
            ("ftp://example.net/", TargetError::Scheme),
            ("file:///etc/passwd", TargetError::Scheme),
            ("unix:/run/x.sock", TargetError::Scheme),
            ("https://user@example.net/", TargetError::UserInfo),
            ("https://:pass@example.net/", TargetError::UserInfo),
            ("https://example.net@127.0.0.1/", TargetError::UserInfo),
            ("https://example.net/#a", TargetError::Fragment),
            ("https://example.net/#", TargetError::Fragment),
            ("https://example.net:0/", TargetError::Port),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for text in [
            "",
            "/in",
            "example.net",
            "https://",
            "https://exa mple.net/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.4.5/",
            "http://example.net:99999/",
        ] {
            assert!(matches!(parse(text), Err(TargetError::NotAUrl(_))), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = parse("https://user:hush-hush@Example.net/a b").unwrap_err();
        assert!(!error.to_string().contains("hush-hush") && !format!("{error:?}").contains("hush-hush"));
    }

    proptest! {
        /// hyper reads what this module has vetted with a parser of its own.
        #[test]
        fn what_is_accepted_means_the_same_to_hyper(rest in "[ -~é]{0,24}") {
            let Ok(url) = Url::parse(&("http://".to_owned() + &rest)) else { return Ok(()) };
            let Ok(url) = parse(url.as_str()) else { return Ok(()) };
            let Ok(uri) = url.as_str().parse::<hyper::Uri>() else { return Ok(()) };
            prop_assert_eq!(uri.host(), url.host_str());
            prop_assert_eq!(uri.port_u16(), url.port());
            prop_assert_eq!(uri.path(), url.path());
            prop_assert_eq!(uri.query(), url.query());
        }

        #[test]
        fn what_is_accepted_is_accepted_by_hyper(path in "[ -~é]{0,24}") {
            let Ok(url) = Url::parse(&("http://example.net/".to_owned() + &path)) else { return Ok(()) };
            prop_assert!(parse(url.as_str()).is_err() || url.as_str().parse::<hyper::Uri>().is_ok(), "{}", url);
        }
    }
}
