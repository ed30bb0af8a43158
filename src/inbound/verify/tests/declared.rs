//! What a resource may declare, and several signatures at once.

use super::{examples::examples, header_map, judge, secret};
use crate::{
    inbound::{
        Endpoint, EndpointError,
        verify::{Rejection, SecretError, SpecError, Verifier, VerifierError, check, check_secret},
    },
    record::endpoint::{EndpointRecord, Hmac, HmacAlgorithm, HmacEncoding, TokenRequirements, Verification},
};

fn hmac() -> Hmac {
    Hmac {
        header: "X-Signature".to_owned(),
        algorithm: HmacAlgorithm::SHA256,
        encoding: HmacEncoding::Hex,
        prefix: String::new(),
        signed_content: "{body}".to_owned(),
        timestamp_header: None,
        id_header: None,
        tolerance_seconds: 300,
    }
}

#[test]
fn a_declared_hmac_is_judged_as_declared() {
    let id = |name: &str| Some(name.to_owned());
    // printf '%s' 'Hello, World!' | openssl dgst -sha512 -hmac hush, and with -sha1
    let sha512 = "2dda99cfbb6555b7332187c18a0b3c99878e442cde51e2474e32b1816bb6b5fa\
                  501327daa7bf1c9ad6b3e1dc271afd644444287b094ad4b28cb632f9c2265ef8";
    let sha1 = "SHA1=CC72288632AE6F8EB21B7511F7D989D5A74E1601";
    // printf '%s' 'd1|1700000000|Hello, World!' | openssl dgst -sha512 -hmac hush -binary | base64 -w0
    let timed = "2T3kdgVImEl3u3n4qvQ25WmwOntIhFMqiaBnwEyyG7ymfz+vwYoPqG3bgXq16+hhtcJbpePNI3DwsCwHgarfXQ==";
    let with_time = Hmac {
        algorithm: HmacAlgorithm::SHA512,
        encoding: HmacEncoding::Base64,
        signed_content: "{id}|{timestamp}|{body}".to_owned(),
        timestamp_header: Some("X-Time".to_owned()),
        id_header: Some("X-Id".to_owned()),
        tolerance_seconds: 10,
        ..hmac()
    };
    let sha512_only = Hmac { algorithm: HmacAlgorithm::SHA512, id_header: id("X-Id"), ..hmac() };
    let sha1_only = Hmac { algorithm: HmacAlgorithm::SHA1, prefix: "sha1=".to_owned(), ..hmac() };
    for (declared, headers, now, expected) in [
        (&sha512_only, vec![("x-signature", sha512)], 0, Ok(None)),
        (&sha512_only, vec![("x-signature", sha512), ("x-id", "d1")], 0, Ok(id("d1"))),
        (&sha512_only, vec![("x-signature", &sha512[..64])], 0, Err(Rejection::BadSignature)),
        (&sha512_only, vec![("x-signature", &sha512[..63])], 0, Err(Rejection::Malformed)),
        (&sha1_only, vec![("x-signature", sha1)], 0, Ok(None)),
        (&sha1_only, vec![("x-signature", &sha1[5..])], 0, Err(Rejection::Malformed)),
        (&with_time, vec![("x-signature", timed)], 1_700_000_000, Err(Rejection::Malformed)),
        (&with_time, vec![("x-signature", timed), ("x-id", "d1")], 1_700_000_000, Err(Rejection::Malformed)),
        (&with_time, timed_headers(timed, "1700000000"), 1_700_000_010, Ok(id("d1"))),
        (&with_time, timed_headers(timed, "1700000000"), 1_700_000_011, Err(Rejection::StaleTimestamp)),
        (&with_time, timed_headers(timed, "1700000001"), 1_700_000_000, Err(Rejection::BadSignature)),
    ] {
        let headers = header_map(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let verification = Verification::Hmac(declared.clone());
        let judged = judge(&verification, &[secret("hush", None)], &headers, "Hello, World!", now);
        assert_eq!(judged, expected, "{headers:?}");
    }
}

fn timed_headers<'a>(signature: &'a str, time: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("x-signature", signature), ("x-time", time), ("x-id", "d1")]
}

/// A signed time that is none: only who knows the secret could send it, and he gets no further.
#[test]
fn a_signed_time_must_be_digits() {
    let declared =
        Hmac { signed_content: "{timestamp}.{body}".to_owned(), timestamp_header: Some("X-Time".to_owned()), ..hmac() };
    // printf '%s.x' "$time" | openssl dgst -sha256 -hmac hush
    for (time, signature) in [
        ("+1700000000", "558fe6a6397fe26e6ca9955892bd5ce481ebe900f149104308cf7da1da918098"),
        ("99999999999999999999", "ba95a6c18bd77feba6eac45c039873cee28f3a6c3d0a08f5b7c98b1160dfb6b1"),
        ("1.7e9", "8d36398051baeaeb995e4153764081142bc82da9022f1cc91876a7a94c4cfe46"),
        ("-1", "ddf335496db325015b8efb01f49967a1cb6d38eb3473078762d6f1c98c401848"),
        ("", "dac78b0e6a60ed07c834f233b06adb2e8d3a186e3cf38f8a326814ae18122b1e"),
    ] {
        let headers = header_map([("x-signature", signature.as_bytes()), ("x-time", time.as_bytes())]);
        let verification = Verification::Hmac(declared.clone());
        let judged = judge(&verification, &[secret("hush", None)], &headers, "x", 1_700_000_000);
        assert_eq!(judged, Err(Rejection::Malformed), "{time:?}");
    }
}

#[test]
fn one_right_signature_among_several_is_enough() {
    for example in examples() {
        // As long as a right one, so that it is looked at.
        let (separator, wrong) = match example.name {
            "Stripe" => (",v1=", "0".repeat(64)),
            "StandardWebhooks" | "GitLab, signing token" => (" v1,", format!("{}=", "A".repeat(43))),
            _ => continue,
        };
        let proof = example.needed[0];
        let value = example.headers.iter().find(|(name, _)| *name == proof).unwrap().1;
        let first = value.replacen(&separator[1..], &format!("{}{wrong}{separator}", &separator[1..]), 1);
        let last = format!("{value}{separator}{wrong}");
        let old_version = format!("{value}{}v9,abc", &separator[..1]);
        for value in [first, last, old_version] {
            let mut headers = example.headers();
            headers.insert(proof, value.parse().unwrap());
            let judged =
                judge(&example.verification, &[secret(example.secret, None)], &headers, example.body, example.time);
            assert!(judged.is_ok(), "{}: {value}", example.name);
        }
    }
}

#[test]
fn signatures_are_looked_at_up_to_a_number() {
    let example = examples().into_iter().find(|example| example.name == "StandardWebhooks").unwrap();
    let right = example.headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap().1;
    let wrong = format!("v1,{}= ", "A".repeat(43));
    for (before, expected) in [(7, true), (8, false)] {
        let mut headers = example.headers();
        headers.insert("webhook-signature", format!("{}{right}", wrong.repeat(before)).parse().unwrap());
        let secrets = [secret(example.secret, None)];
        let judged = judge(&example.verification, &secrets, &headers, example.body, example.time);
        assert_eq!(judged.is_ok(), expected, "{before}");
    }
}

#[test]
fn an_id_cannot_be_cut_elsewhere() {
    let example = examples().into_iter().find(|example| example.name == "StandardWebhooks").unwrap();
    let mut headers = example.headers();
    // The same signed bytes, with another time and another body.
    headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330".parse().unwrap());
    headers.insert("webhook-timestamp", "{\"test\": 2432232314}".parse().unwrap());
    let secrets = [secret(example.secret, None)];
    let judged = judge(&example.verification, &secrets, &headers, "", example.time);
    assert_eq!(judged, Err(Rejection::Malformed));
}

#[test]
fn a_signed_request_of_gitlab_may_bring_its_secret_token_too() {
    let [signed, token] = ["GitLab, signing token", "GitLab, secret token"]
        .map(|name| examples().into_iter().find(|example| example.name == name).unwrap());
    let mut headers = signed.headers();
    headers.extend(token.headers());
    for example in [&signed, &token] {
        let secrets = [secret(example.secret, None)];
        assert!(judge(&signed.verification, &secrets, &headers, signed.body, signed.time).is_ok(), "{}", example.name);
    }
}

#[test]
fn what_is_wrong_with_a_declaration_is_said_with_the_field() {
    let unsigned = Hmac { timestamp_header: Some("X-Time".to_owned()), ..hmac() };
    let content = |text: &str| Hmac { signed_content: text.to_owned(), ..hmac() };
    for (declared, expected, field) in [
        (Hmac { header: "X Signature".to_owned(), ..hmac() }, SpecError::HeaderName { field: "header" }, "header"),
        (Hmac { header: String::new(), ..hmac() }, SpecError::HeaderName { field: "header" }, "header"),
        (
            Hmac { timestamp_header: Some("é".to_owned()), ..content("{timestamp}{body}") },
            SpecError::HeaderName { field: "timestampHeader" },
            "timestampHeader",
        ),
        (Hmac { id_header: Some("a:b".to_owned()), ..hmac() }, SpecError::HeaderName { field: "idHeader" }, "idHeader"),
        (Hmac { prefix: "é".to_owned(), ..hmac() }, SpecError::Prefix, "prefix"),
        (Hmac { prefix: " v0=".to_owned(), ..hmac() }, SpecError::Prefix, "prefix"),
        (content("{raw}"), SpecError::UnknownPlaceholder { text: "{raw}".to_owned() }, "signedContent"),
        (content("v0"), SpecError::NoBody, "signedContent"),
        (content(""), SpecError::NoBody, "signedContent"),
        (content("{timestamp}.{body}"), SpecError::NoTimestampHeader, "timestampHeader"),
        (content("{id}.{body}"), SpecError::NoIdHeader, "idHeader"),
        (unsigned, SpecError::UnsignedTimestamp, "timestampHeader"),
    ] {
        let verification = Verification::Hmac(declared);
        let error = check(&verification).unwrap_err();
        assert_eq!(error, expected);
        let message = error.to_string();
        assert!(message.contains(&format!("spec.verification.{field}")), "{message}");
        assert_eq!(Verifier::new(&verification, &[]).unwrap_err(), VerifierError::Spec(error));
    }
    for username in ["a:b", "a\n"] {
        assert_eq!(check(&Verification::Basic { username: username.to_owned() }), Err(SpecError::Username));
    }
    assert_eq!(
        check(&Verification::AppCredential(TokenRequirements { scopes: vec![], audience: None, clients: vec![] })),
        Err(SpecError::NoScope)
    );
}

#[test]
fn every_preset_is_sound() {
    for example in examples() {
        assert_eq!(check(&example.verification), Ok(()), "{}", example.name);
        assert_eq!(check_secret(&example.verification, example.secret), Ok(()), "{}", example.name);
    }
    assert_eq!(check(&Verification::None), Ok(()));
    assert_eq!(check(&Verification::Hmac(hmac())), Ok(()));
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let standard = Verification::StandardWebhooks;
    for (verification, text, expected) in [
        (&Verification::GitHub, "", SecretError::Empty),
        (&Verification::Bearer, "hush\n", SecretError::Blank),
        (&Verification::GitLab, " hush", SecretError::Blank),
        (&Verification::Slack, "hu\tsh", SecretError::Blank),
        (&standard, "whsec_", SecretError::NotStandard),
        (&standard, "whsec_hush!", SecretError::NotStandard),
        (&standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", SecretError::NotStandard),
        (&standard, "whpk_", SecretError::NotStandard),
        (&standard, "whpk_bm90LTMyLWJ5dGVz", SecretError::NotStandard),
        (&standard, "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::NotStandard),
    ] {
        assert_eq!(check_secret(verification, text), Err(expected), "{text:?}");
        let error = Verifier::new(verification, &[secret(text, None)]).unwrap_err();
        assert_eq!(error, VerifierError::Secret(expected));
        assert!(text.len() < 7 || !format!("{error} {error:?}").contains(text));
    }
    assert_eq!(check_secret(&standard, "whsec_aGVsbG8"), Ok(()), "without padding");
    assert_eq!(check_secret(&Verification::None, "anything"), Ok(()));
}

#[test]
fn an_endpoint_whose_posts_cannot_be_judged_is_not_served() {
    let record = |verification: serde_json::Value| {
        let record = serde_json::json!({
            "version": 1,
            "source": {"kind": "Webhook", "namespace": "team-a", "name": "alerts", "uid": "uid-1"},
            "urls": [{"id": "id", "createdAt": "2026-01-01T00:00:00Z"}],
            "active": true,
            "inactiveMode": "Reject",
            "maxBodyBytes": 1024,
            "verification": verification,
            "secrets": [{"value": "hush!", "generated": false, "createdAt": "2026-01-01T00:00:00Z"}],
            "handler": {"type": "Raw"},
            "delivery": {
                "target": {"url": "https://example.test/"},
                "method": "POST",
                "onMissingCredential": "SendUnauthenticated",
                "timeoutSeconds": 15,
                "retry": {"attempts": 1, "initialDelaySeconds": 1, "maxDelaySeconds": 1},
                "maxInFlight": 1,
                "expireAfterSeconds": 60,
            },
        });
        serde_json::from_value::<EndpointRecord>(record).unwrap()
    };
    let endpoint = Endpoint::new(record(serde_json::json!({"type": "GitHub"}))).unwrap();
    assert_eq!(endpoint.verifier().proof_headers().count(), 1);
    let error = Endpoint::new(record(serde_json::json!({"type": "StandardWebhooks"})));
    assert_eq!(error.unwrap_err(), EndpointError::Verification(VerifierError::Secret(SecretError::NotStandard)));
}
