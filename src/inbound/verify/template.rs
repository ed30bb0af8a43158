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

    /// Whether the same signed bytes cannot be cut into other values, as long as the time is of digits alone and the id passes
    /// [`Self::cuts`]. Otherwise bytes could be moved from one value to the next, and another body would verify.
    pub(super) fn is_unambiguous(&self) -> bool {
        let body = self.0.iter().position(|part| *part == Part::Body);
        let after_body = body.and_then(|body| self.0.get(body + 1..)).unwrap_or_default();
        let ends_well = matches!(
            after_body,
            [] | [Part::Literal(_)]
                | [Part::Literal(_), Part::Timestamp]
                | [Part::Literal(_), Part::Timestamp, Part::Literal(_)]
        );
        ends_well
            && self.0.windows(2).all(|pair| match pair {
                [Part::Literal(text), Part::Timestamp] => !text.ends_with(is_digit),
                [Part::Timestamp, Part::Literal(text)] => !text.starts_with(is_digit),
                [Part::Literal(_), _] | [_, Part::Literal(_)] => true,
                _ => false,
            })
    }

    /// Whether what stands between the id and the next part ends this id where it does end, and not before
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Signature scheme").
    pub(super) fn cuts(&self, id: &[u8]) -> bool {
        self.0.windows(2).all(|pair| match pair {
            [Part::Id, Part::Literal(text)] => {
                let (signed, text) = ([id, text.as_bytes()].concat(), text.as_bytes());
                signed.windows(text.len()).position(|window| window == text) == Some(id.len())
            }
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

fn is_digit(char: char) -> bool {
    char.is_ascii_digit()
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
        assert!(template.cuts(b"msg_1"));
        assert!(!template.cuts(b"msg_1.1700000000"));
        let template = Template::parse("{id}--{body}").unwrap();
        assert!(template.cuts(b"a-b"));
        assert!(!template.cuts(b"a-"), "`a` and a body that begins with a hyphen are the same bytes");
    }

    #[test]
    fn what_could_be_cut_at_another_place_is_ambiguous() {
        for template in [
            "{body}",
            "{body}é",
            "{timestamp}.{body}",
            "{body}.{timestamp}",
            "{body}.{timestamp}Z",
            "v0:{timestamp}:{body}",
            "{id}.{timestamp}.{body}",
            "{timestamp}.{id}.{body}",
            "1{id}2{body}",
        ] {
            assert!(Template::parse(template).unwrap().is_unambiguous(), "{template}");
        }
        for template in [
            "{timestamp}{body}",
            "{id}{body}",
            "{id}{timestamp}.{body}",
            "{body}{timestamp}",
            "{body}.{id}",
            "{body}.{body}",
            "{body}.{timestamp}.{id}",
            "{body}.{id}.{timestamp}",
            "{timestamp}0{body}",
            "{body}0{timestamp}",
            "0{timestamp}.{body}",
        ] {
            assert!(!Template::parse(template).unwrap().is_unambiguous(), "{template}");
        }
    }

    proptest::proptest! {
        /// Of whatever template and values: no others make the same bytes.
        #[test]
        fn signed_bytes_have_one_meaning(
            parts in proptest::collection::vec("[{]body[}]|[{]id[}]|[{]timestamp[}]|[a.1]{1,2}", 1..6),
            one in (".{0,4}", "[0-9]{1,3}", "[a.1]{0,4}"),
            other in ("[a.1]{0,4}", "[0-9]{1,3}", "[a.1]{0,4}"),
        ) {
            let template = Template::parse(&parts.concat()).unwrap();
            let values = |(body, timestamp, id): &(String, String, String)| {
                let values = Values { body: body.as_bytes(), timestamp: timestamp.as_bytes(), id: id.as_bytes() };
                template.pieces(values).collect::<Vec<_>>().concat()
            };
            let used = |(body, timestamp, id): &(String, String, String)| {
                let has = |part, value: &String| template.has(&part).then(|| value.clone());
                (has(Part::Body, body), has(Part::Timestamp, timestamp), has(Part::Id, id))
            };
            let is_judged = template.has(&Part::Body) && template.is_unambiguous();
            if is_judged && template.cuts(one.2.as_bytes()) && template.cuts(other.2.as_bytes()) && used(&one) != used(&other) {
                proptest::prop_assert_ne!(values(&one), values(&other), "{}", parts.concat());
            }
        }
    }
}
