//! Flow 2, pure: a form body as parameters, of which none comes twice.

use std::borrow::Cow;

use super::refusal::{Code, Refusal};

/// More than any request needs, and few enough to compare each with each.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request.
///
/// # Guarantees
/// No name comes twice, except `resource` (RFC 8707). A parameter with an empty value counts as absent (RFC 6749,
/// section 3.2), but as present where repetition is judged.
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads a body of the media type `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// `invalid_request`: not UTF-8, too many parameters, or one twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        const NOT_UTF8: Refusal = Refusal::new(Code::InvalidRequest, "the body is not a form in UTF-8");
        let body = std::str::from_utf8(body).map_err(|_| NOT_UTF8)?;
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for (name, value) in body.split('&').filter_map(decode) {
            // What percent-encoding made of bytes that are not UTF-8.
            if matches!(name, Cow::Owned(_)) && name.contains('\u{FFFD}')
                || matches!(value, Cow::Owned(_)) && value.contains('\u{FFFD}')
            {
                return Err(NOT_UTF8);
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(Refusal::new(Code::InvalidRequest, "the body has more than 64 parameters"));
            }
            if name != "resource" && parameters.iter().any(|(known, _)| *known == name) {
                return Err(Self::twice(&name));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    fn twice(name: &str) -> Refusal {
        // Only names that are ours: any other could hold what must not be repeated.
        let known = ["grant_type", "scope", "client_id", "client_secret", "token", "token_type_hint"];
        let name = known.into_iter().find(|known| *known == name).unwrap_or("a parameter");
        Refusal::with_choices(Code::InvalidRequest, "sent more than once, send it once: ", [name])
    }

    /// The value of a parameter that is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a parameter that may repeat, without empty ones.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_ref())
    }
}

/// One parameter. Most need no decoding, of which the library would look for every byte several times.
fn decode(pair: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if pair.is_empty() {
        return None;
    }
    if pair.contains(['%', '+']) {
        return form_urlencoded::parse(pair.as_bytes()).next();
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        let refusal = Form::parse(body).err().expect("refused");
        assert_eq!(refusal.code, Code::InvalidRequest);
        refusal.description.into_owned()
    }

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let form = Form::parse(b"scope=a+b%3Ac&empty=&resource=x&resource=&resource=y").ok().unwrap();
        assert_eq!(form.get("scope"), Some("a b:c"));
        assert_eq!(form.get("empty"), None);
        assert_eq!(form.get("missing"), None);
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused_even_when_empty() {
        assert!(refused(b"scope=a&scope=b").contains("scope"));
        assert!(refused(b"scope=&scope=b").contains("scope"));
        assert!(refused(b"%73cope=a&scope=b").contains("scope"));
        assert!(!refused(b"s3cret=a&s3cret=b").contains("s3cret"));
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        refused(b"a=\xff");
        refused(b"a=%ff");
    }

    #[test]
    fn ten_thousand_parameters_are_refused() {
        let body: String = (0..10_000).map(|n| format!("p{n}=1&")).collect::<Vec<_>>().concat();
        assert!(refused(body.as_bytes()).contains("64"));
    }

    #[test]
    fn what_needs_no_decoding_reads_as_the_library_reads_it() {
        for body in ["a=1&b=2", "a", "a=", "=a", "=", "&&a=1&", "a=b=c", "a=%31&b+c=d", "%", "+=+", "é=ü&ö"] {
            let ours: Vec<_> = body.split('&').filter_map(decode).collect();
            let theirs: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
            assert_eq!(ours, theirs, "{body}");
        }
    }

    #[test]
    fn anything_else_is_some_form() {
        for body in [b"".as_slice(), b"{\"a\":1}", b"&&&==", b"\0\0", b"%", b"%zz=%"] {
            assert!(Form::parse(body).is_ok());
        }
    }
}
