//! Whatever comes in the headers: no panic, and nothing is accepted that the secret did not make.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    at,
    examples::{Example, examples},
    secret,
};
use crate::inbound::verify::{Incoming, Verifier};

fn is_accepted(example: &Example, headers: &HeaderMap, body: &[u8]) -> bool {
    let verifier = Verifier::new(&example.verification, &[secret(example.secret, None)]).unwrap();
    verifier.verify(&Incoming { headers, body }, at(example.time)).is_ok()
}

fn example() -> impl Strategy<Value = Example> {
    select(examples())
}

impl std::fmt::Debug for Example {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Anything that a header may hold, and pieces of what belongs there.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8];
    let pieces = [
        "v1,",
        "v1a,",
        "v1=",
        "v0=",
        "t=",
        ",",
        " ",
        "=",
        "==",
        "sha256=",
        "Bearer ",
        "Basic ",
        "-",
        "18446744073709551616",
        "1614265330",
        "Og==",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
    ];
    let piece = select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![vec(byte, 0..200), vec(piece, 0..60).prop_map(|pieces| pieces.concat())]
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

proptest! {
    #[test]
    fn garbage_is_never_accepted(
        example in example(),
        values in vec((0..5_usize, header_value()), 0..8),
        body in vec(any::<u8>(), 0..100),
    ) {
        let names: Vec<&str> = example.headers.iter().map(|(name, _)| *name).collect();
        let mut headers = HeaderMap::new();
        for (index, bytes) in values {
            headers.append(HeaderName::from_static(names[index % names.len()]), value(&bytes));
        }
        prop_assert!(!is_accepted(&example, &headers, &body));
    }

    #[test]
    fn a_proof_that_is_cut_or_changed_is_refused(example in example(), place: prop::sample::Index, flip in 1..=255_u8) {
        let (name, text) = example.headers.iter().find(|(name, _)| *name == example.needed[0]).unwrap();
        let index = place.index(text.len());
        let mut changed = text.as_bytes().to_vec();
        changed[index] ^= flip;
        for bytes in [&text.as_bytes()[..index], &changed] {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
            let mut headers = example.headers();
            headers.insert(*name, value);
            if is_accepted(&example, &headers, example.body.as_bytes()) {
                prop_assert!(holds(bytes, example.proof), "{example:?} {headers:?}");
            }
        }
    }

    #[test]
    fn a_body_with_one_other_bit_is_refused(example in example(), place: prop::sample::Index, bit in 0..8_u8) {
        let mut body = example.body.as_bytes().to_vec();
        body[place.index(example.body.len())] ^= 1 << bit;
        prop_assert_eq!(is_accepted(&example, &example.headers(), &body), !example.signs_body);
    }

    #[test]
    fn a_right_signature_is_found_among_wrong_ones(
        wrong in vec("[!-+--~]{0,60}", 0..14),
        place: prop::sample::Index,
        is_split: bool,
    ) {
        for example in examples() {
            let separator = match example.name {
                "Stripe" => ",",
                "StandardWebhooks" | "StandardWebhooks, asymmetric" | "GitLab, signing token" => " ",
                _ => continue,
            };
            let (name, text) = example.headers.iter().find(|(name, _)| *name == example.needed[0]).unwrap();
            // A second time among Stripe's would be refused.
            let mut elements: Vec<&str> =
                wrong.iter().map(|element| element.trim_start_matches(['t', 'T'])).collect();
            elements.insert(place.index(wrong.len() + 1), text);
            let mut headers = example.headers();
            headers.remove(*name);
            let values = if is_split { elements.iter().map(|&one| one.to_owned()).collect() } else { vec![elements.join(separator)] };
            for one in values {
                headers.append(*name, value(one.as_bytes()));
            }
            prop_assert!(is_accepted(&example, &headers, example.body.as_bytes()), "{} {:?}", example.name, headers);
        }
    }
}

/// Whether the proof is still there: hexadecimal digits have no case, Base64 and secrets have.
fn holds(header: &[u8], proof: &str) -> bool {
    let is_hex = proof.bytes().all(|byte| byte.is_ascii_hexdigit());
    let same = |part: &[u8]| part == proof.as_bytes() || is_hex && part.eq_ignore_ascii_case(proof.as_bytes());
    header.windows(proof.len()).any(same)
}

#[test]
fn huge_headers_cost_little() {
    let garbage = "v1,bm90IG9mIHRoaXMgc2VjcmV0IGJ1dCBvZiBhbm90aGVyIG8= ".repeat(20_000);
    for example in examples() {
        let mut headers = example.headers();
        for (name, _) in &example.headers {
            headers.insert(*name, value(garbage.as_bytes()));
        }
        assert!(!is_accepted(&example, &headers, example.body.as_bytes()), "{}", example.name);
    }
}
