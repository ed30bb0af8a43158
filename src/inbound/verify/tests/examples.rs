//! One good request for each way to prove who one is.

use crate::record::endpoint::Verification;

#[derive(Clone)]
pub(super) struct Example {
    pub(super) name: &'static str,
    pub(super) verification: Verification,
    pub(super) secret: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// What proves it, wherever in the headers.
    pub(super) proof: &'static str,
    pub(super) body: &'static str,
    pub(super) time: i64,
    /// Headers without which it is refused, the proof first.
    pub(super) needed: &'static [&'static str],
    pub(super) signs_body: bool,
    pub(super) signs_time: bool,
    pub(super) id: Option<&'static str>,
}

pub(super) fn examples() -> Vec<Example> {
    [signatures(), standard_signatures(), secrets()].concat()
}

fn signatures() -> Vec<Example> {
    vec![
        // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation".
        Example {
            name: "GitHub",
            verification: Verification::GitHub,
            secret: "It's a Secret to Everybody",
            proof: "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            headers: vec![
                ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
                ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ],
            body: "Hello, World!",
            time: 1_700_000_000,
            needed: &["x-hub-signature-256"],
            signs_body: true,
            signs_time: false,
            id: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        },
        // printf '%s' '1492774577.{"id":"evt_1","object":"event"}' | openssl dgst -sha256 -hmac 'whsec_not-a-real-one'
        // The form is that of https://docs.stripe.com/webhooks#verify-manually, which has no example that could be checked.
        Example {
            name: "Stripe",
            verification: Verification::Stripe,
            secret: "whsec_not-a-real-one",
            proof: "a6f6639f026c3ae75d84a17bfd2f3a4cdbbe6e53a9963e2800ac3318fca4dfdf",
            headers: vec![(
                "stripe-signature",
                "t=1492774577,v1=a6f6639f026c3ae75d84a17bfd2f3a4cdbbe6e53a9963e2800ac3318fca4dfdf,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39",
            )],
            body: r#"{"id":"evt_1","object":"event"}"#,
            time: 1_492_774_577,
            needed: &["stripe-signature"],
            signs_body: true,
            signs_time: true,
            id: Some("evt_1"),
        },
        // https://docs.slack.dev/authentication/verifying-requests-from-slack, step by step.
        Example {
            name: "Slack",
            verification: Verification::Slack,
            secret: "8f742231b10e8888abcd99yyyzzz85a5",
            proof: "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            headers: vec![
                ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
                ("x-slack-request-timestamp", "1531420618"),
            ],
            body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
                trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
            time: 1_531_420_618,
            needed: &["x-slack-signature", "x-slack-request-timestamp"],
            signs_body: true,
            signs_time: true,
            id: None,
        },
        // printf '%s' '{"id":820982911946154508}' | openssl dgst -sha256 -hmac 'hush' -binary | base64
        // The form is that of https://shopify.dev/docs/apps/build/webhooks/subscribe/https, which has no example.
        Example {
            name: "Shopify",
            verification: Verification::Shopify,
            secret: "hush",
            proof: "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=",
            headers: vec![
                ("x-shopify-hmac-sha256", "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I="),
                ("x-shopify-event-id", "98880550-7158-44d4-b7cd-2c97c8a091b5"),
                ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
                ("x-shopify-topic", "orders/create"),
            ],
            body: r#"{"id":820982911946154508}"#,
            time: 1_700_000_000,
            needed: &["x-shopify-hmac-sha256"],
            signs_body: true,
            signs_time: false,
            id: Some("orders/create 98880550-7158-44d4-b7cd-2c97c8a091b5"),
        },
    ]
}

fn standard_signatures() -> Vec<Example> {
    // The example of https://github.com/standard-webhooks/standard-webhooks, libraries' tests.
    let standard = Example {
        name: "StandardWebhooks",
        verification: Verification::StandardWebhooks,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        proof: "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        headers: vec![
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        body: r#"{"test": 2432232314}"#,
        time: 1_614_265_330,
        needed: &["webhook-signature", "webhook-id", "webhook-timestamp"],
        signs_body: true,
        signs_time: true,
        id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
    };
    let mut of_gitlab = standard.clone();
    of_gitlab.headers.extend([("idempotency-key", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("x-gitlab-event", "Push Hook")]);
    vec![
        standard.clone(),
        Example {
            name: "StandardWebhooks without whsec_",
            secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ..standard.clone()
        },
        // The key pair of RFC 8032, section 7.1, test 1, as `ed.der` (302e020100300506032b657004220420 and the secret key):
        // printf '%s' 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' >message
        // openssl pkeyutl -sign -inkey ed.der -keyform DER -rawin -in message | base64 -w0
        Example {
            name: "StandardWebhooks, asymmetric",
            secret: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            proof: "fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==",
            headers: vec![
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                (
                    "webhook-signature",
                    "v1,bm90IG9mIHRoaXMgc2VjcmV0IGJ1dCBvZiBhbm90aGVyIG8= \
                     v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==",
                ),
            ],
            ..standard.clone()
        },
        Example { name: "GitLab, signing token", verification: Verification::GitLab, ..of_gitlab },
    ]
}

fn secrets() -> Vec<Example> {
    let bearer = Example {
        name: "Bearer",
        verification: Verification::Bearer,
        secret: "open-sesame",
        proof: "open-sesame",
        headers: vec![("authorization", "Bearer open-sesame")],
        body: "anything",
        time: 1_700_000_000,
        needed: &["authorization"],
        signs_body: false,
        signs_time: false,
        id: None,
    };
    vec![
        Example {
            name: "Bearer in other case",
            headers: vec![("authorization", "bEARER   open-sesame")],
            ..bearer.clone()
        },
        // RFC 7617, section 2.
        Example {
            name: "Basic",
            verification: Verification::Basic { username: "Aladdin".to_owned() },
            secret: "open sesame",
            proof: "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            headers: vec![("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")],
            ..bearer.clone()
        },
        // https://docs.gitlab.com/user/project/integrations/webhooks/, "Delivery headers".
        Example {
            name: "GitLab, secret token",
            verification: Verification::GitLab,
            headers: vec![
                ("x-gitlab-token", "open-sesame"),
                ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
            ],
            needed: &["x-gitlab-token"],
            id: Some("f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
            ..bearer.clone()
        },
        bearer,
    ]
}
