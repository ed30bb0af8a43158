//! Flow 2, pure: for which audience a token is (RFC 8707).

use std::borrow::Cow;

use super::{
    claims::json_string,
    refusal::{Code, Refusal},
};

/// A client's audiences, each with its JSON form.
#[derive(Debug)]
pub(super) struct Audiences(Vec<Audience>);

#[derive(Debug)]
struct Audience {
    value: String,
    json: String,
}

impl Audiences {
    pub(super) fn new(audiences: &[String]) -> Self {
        let prepared = |value: &String| Audience { json: json_string(value), value: value.clone() };
        Self(audiences.iter().map(prepared).collect())
    }

    /// The `aud` claim in JSON: a string for one audience, an array for several. `issuer_json` is the realm's issuer
    /// as a JSON string: the audience of a client that has none.
    pub(super) fn grant<'a>(
        &'a self,
        resources: impl Iterator<Item = &'a str>,
        issuer: &str,
        issuer_json: &'a str,
    ) -> Result<Cow<'a, str>, Refusal> {
        let mut granted: Vec<&str> = Vec::new();
        for resource in resources {
            let json = self.find(resource, issuer, issuer_json)?;
            if !granted.contains(&json) {
                granted.push(json);
            }
        }
        match (granted.as_slice(), self.0.as_slice()) {
            ([], []) => Ok(Cow::Borrowed(issuer_json)),
            ([], [only]) => Ok(Cow::Borrowed(&only.json)),
            ([], _) => {
                Err(self.refusal("this client has several audiences, name one or more with the parameter resource: "))
            }
            ([one], _) => Ok(Cow::Borrowed(one)),
            (several, _) => Ok(Cow::Owned(format!("[{}]", several.join(",")))),
        }
    }

    fn find<'a>(&'a self, resource: &str, issuer: &str, issuer_json: &'a str) -> Result<&'a str, Refusal> {
        if let Some(known) = self.0.iter().find(|audience| audience.value == resource) {
            return Ok(&known.json);
        }
        if self.0.is_empty() && resource == issuer {
            return Ok(issuer_json);
        }
        Err(match url::Url::parse(resource) {
            Err(_) => Refusal::new(Code::InvalidTarget, "resource must be an absolute URI"),
            Ok(url) if url.fragment().is_some() => {
                Refusal::new(Code::InvalidTarget, "resource must be a URI without a fragment")
            }
            Ok(_) if self.0.is_empty() => Refusal::new(
                Code::InvalidTarget,
                "resource is unknown: this client has no audiences, leave resource out",
            ),
            Ok(_) => self.refusal("resource is none of this client's audiences, which are: "),
        })
    }

    fn refusal(&self, words: &str) -> Refusal {
        Refusal::with_choices(Code::InvalidTarget, words, self.0.iter().map(|audience| audience.value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "https://a.test";
    const B: &str = "https://b.test/x";
    const ISSUER: &str = "https://issuer.test";

    fn grant(own: &[&str], resources: &[&str]) -> Result<String, Code> {
        let own: Vec<String> = own.iter().map(|&own| own.to_owned()).collect();
        let audiences = Audiences::new(&own);
        let issuer_json = json_string(ISSUER);
        let granted = audiences.grant(resources.iter().copied(), ISSUER, &issuer_json);
        granted.map(Cow::into_owned).map_err(|refusal| refusal.code)
    }

    #[test]
    fn without_resource_the_only_audience_or_the_issuer() {
        assert_eq!(grant(&[], &[]).unwrap(), r#""https://issuer.test""#);
        assert_eq!(grant(&[A], &[]).unwrap(), r#""https://a.test""#);
        assert_eq!(grant(&[A, B], &[]), Err(Code::InvalidTarget));
    }

    #[test]
    fn resource_chooses_and_may_repeat() {
        assert_eq!(grant(&[A, B], &[B]).unwrap(), r#""https://b.test/x""#);
        assert_eq!(grant(&[A, B], &[B, A, B]).unwrap(), r#"["https://b.test/x","https://a.test"]"#);
        assert_eq!(grant(&[], &[ISSUER]).unwrap(), r#""https://issuer.test""#);
    }

    #[test]
    fn any_other_resource_is_refused() {
        for resource in ["https://c.test", "/relative", "a.test", "https://a.test#x", "https://a.test/", "", "\0"] {
            assert_eq!(grant(&[A, B], &[A, resource]), Err(Code::InvalidTarget), "{resource:?}");
            assert_eq!(grant(&[], &[resource]), Err(Code::InvalidTarget), "{resource:?}");
        }
        assert_eq!(grant(&[A], &[ISSUER]), Err(Code::InvalidTarget), "with audiences, the issuer is not among them");
    }
}
