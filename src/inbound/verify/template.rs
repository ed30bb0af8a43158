//! Flow 3, pure: what a signature is made over: the body, and the time and the id where the sender signs them.

use super::check::SpecError;

/// What is signed, parsed from text such as `v0:{timestamp}:{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Literal(Box<str>),
    /// The raw body.
    Body,
    /// The time, as the sender wrote it.
    Timestamp,
    /// The delivery's id.
    Id,
}

/// What stands for the placeholders in one request.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) body: &'a [u8],
    pub(super) timestamp: &'a [u8],
    pub(super) id: &'a [u8],
}

impl Template {
    /// Reads a template. There is no way to write a brace: no known provider signs one.
    pub(super) fn parse(text: &str) -> Result<Self, SpecError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (literal, placeholder) = rest.split_at(brace);
            let end = placeholder.find('}').map_or(placeholder.len(), |end| end + 1);
            let (placeholder, after) = placeholder.split_at(end);
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            parts.push(Part::placeholder(placeholder)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self(parts))
    }

    pub(super) fn has(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    /// The bytes that are signed, in pieces, so that the body need not be copied.
    pub(super) fn pieces<'a>(&'a self, values: Values<'a>) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(move |part| match part {
            Part::Literal(text) => text.as_bytes(),
            Part::Body => values.body,
            Part::Timestamp => values.timestamp,
            Part::Id => values.id,
        })
    }

    /// Whether what stands between the id and the next part is not in the id too. Else the same signed bytes could be cut
    /// at another place, which makes another id, another time and another body of them
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Signature scheme").
    pub(super) fn is_unambiguous(&self, id: &[u8]) -> bool {
        self.0.windows(2).all(|pair| match pair {
            [Part::Id, Part::Literal(text)] => !contains(id, text.as_bytes()),
            _ => true,
        })
    }
}

impl Part {
    fn placeholder(text: &str) -> Result<Self, SpecError> {
        match text {
            "{body}" => Ok(Self::Body),
            "{timestamp}" => Ok(Self::Timestamp),
            "{id}" => Ok(Self::Id),
            _ => Err(SpecError::UnknownPlaceholder { text: text.chars().take(40).collect() }),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(template: &str) -> String {
        let values = Values { body: b"BODY", timestamp: b"42", id: b"msg_1" };
        let template = Template::parse(template).unwrap();
        String::from_utf8(template.pieces(values).collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn placeholders_are_replaced_and_the_rest_stays() {
        for (template, expected) in [
            ("{body}", "BODY"),
            ("v0:{timestamp}:{body}", "v0:42:BODY"),
            ("{id}.{timestamp}.{body}", "msg_1.42.BODY"),
            ("{timestamp}{body}é", "42BODYé"),
            ("", ""),
        ] {
            assert_eq!(signed(template), expected);
        }
    }

    #[test]
    fn everything_else_in_braces_is_refused() {
        for (template, quoted) in [
            ("{payload}", "{payload}"),
            ("{body", "{body"),
            ("{body}}", "}"),
            ("}{body}", "}"),
            ("{{body}}", "{{body}"),
            ("{Body}", "{Body}"),
            ("{}", "{}"),
            ("{é", "{é"),
        ] {
            let error = SpecError::UnknownPlaceholder { text: quoted.to_owned() };
            assert_eq!(Template::parse(template), Err(error), "{template}");
        }
    }

    #[test]
    fn an_id_must_not_hold_what_ends_it() {
        let template = Template::parse("{id}.{timestamp}.{body}").unwrap();
        assert!(template.is_unambiguous(b"msg_1"));
        assert!(!template.is_unambiguous(b"msg_1.1700000000"));
        assert!(Template::parse("{timestamp}.{body}.{id}").unwrap().is_unambiguous(b"a.b"));
    }
}
