//! What each type of handler takes, and what it passes on.

use super::{Post, filter, record, text, transform};
use crate::{
    inbound::handler::{Event, Invalid, Verdict},
    record::endpoint::HandlerType::{self, Alertmanager, CloudEvents, Json, Raw},
};

/// The status and the text of a refusal.
fn refused(post: &Post, type_: HandlerType) -> (u16, String) {
    match post.to(&record(type_)) {
        Err(Invalid::Body(text)) => (400, text.into_owned()),
        Err(Invalid::MediaType(text)) => (415, text.into_owned()),
        Ok(events) => panic!("taken: {events:?}"),
    }
}

fn content_type(event: &Event) -> Option<&str> {
    event.content_type.as_ref().map(|value| value.to_str().unwrap())
}

#[test]
fn raw_takes_anything_and_passes_it_on() {
    for (body, media_type) in
        [(b"".as_slice(), None), (b"\x00\xff", Some("application/octet-stream")), (b"{", Some("application/json"))]
    {
        let mut post = Post::new(body).header("x-a", "1").header("content-encoding", "gzip");
        if let Some(media_type) = media_type {
            post = post.content_type(media_type);
        }
        let event = post.one(&record(Raw));
        assert_eq!((event.body.as_ref(), content_type(&event)), (body, media_type));
        assert_eq!(event.headers.keys().collect::<Vec<_>>(), ["x-a", "content-encoding"]);
        assert_eq!((event.verdict, event.key, event.dedupe_id), (Verdict::Kept, None, None));
    }
}

#[test]
fn json_is_told_by_its_media_type_or_by_none() {
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON ;charset=utf-8",
        "text/json",
        "application/vnd.github+json",
        "application/problem+json",
    ] {
        let event = Post::new(" {\"a\": 1}\n").content_type(media_type).one(&record(Json));
        assert_eq!((text(&event), content_type(&event)), (" {\"a\": 1}\n", Some(media_type)));
    }
    assert_eq!(Post::new("1").one(&record(Json)).content_type, None);
    for media_type in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json", "application/jsonp"]
    {
        assert_eq!(refused(&Post::new("{}").content_type(media_type), Json).0, 415, "{media_type}");
    }
    assert_eq!(refused(&Post::new("{}").header("content-encoding", "gzip"), Json).0, 415);
}

#[test]
fn what_is_not_json_is_refused_without_a_quote() {
    for (body, expected) in [
        ("s3cret", "the body is not JSON: expected value at line 1 column 1"),
        ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        ("{\"s3cret\": s3cret}", "the body is not JSON: expected value at line 1 column 12"),
        ("{} s3cret", "the body is not JSON: trailing characters at line 1 column 4"),
    ] {
        assert_eq!(refused(&Post::new(body), Json), (400, expected.to_owned()));
    }
    let (status, message) = refused(&Post::new("[".repeat(128) + &"]".repeat(128)), Json);
    assert_eq!((status, message.contains("recursion limit exceeded")), (400, true));
}

#[test]
fn githubs_form_is_json_in_a_parameter() {
    let post = Post::new("a=b&payload=%7B%22ref%22%3A+%22refs%2Fheads%2Fmain%22%7D")
        .content_type("application/x-www-form-urlencoded");
    // The signature of the receiver's own check is over these bytes.
    let event = post.one(&filter(Json, "body.ref == 'refs/heads/main'"));
    assert_eq!((event.verdict.clone(), event.body.as_ref()), (Verdict::Kept, post.body.as_ref()));
    assert_eq!(content_type(&event), Some("application/x-www-form-urlencoded"));
    assert_eq!(text(&post.one(&transform(Json, "body.ref"))), r#""refs/heads/main""#);
    for (body, expected) in
        [("", "no parameter"), ("payloads=1", "no parameter"), ("payload=", "not JSON"), ("payload=s3cret", "not JSON")]
    {
        let (status, message) = refused(&Post::new(body).content_type("application/x-www-form-urlencoded"), Json);
        assert!(status == 400 && message.contains(expected) && !message.contains("s3cret"), "{body}: {message}");
    }
}

#[test]
fn a_transform_makes_json_and_leaves_headers_behind() {
    let event =
        Post::new("{\"a\": 1}").content_type("text/json").header("x-a", "1").one(&transform(Json, "{'b': body.a}"));
    assert_eq!((text(&event), content_type(&event)), (r#"{"b":1}"#, Some("application/json")));
    assert!(event.headers.is_empty());
}

const NOTIFICATION: &str =
    r#"{"version": "4", "groupKey": "{}:{alertname=\"A\"}", "status": "firing", "receiver": "r", "alerts": []}"#;

#[test]
fn a_notification_of_alertmanager_is_ordered_by_its_group() {
    let event = Post::new(NOTIFICATION).content_type("application/json").one(&record(Alertmanager));
    assert_eq!((text(&event), event.key.as_deref()), (NOTIFICATION, Some("{}:{alertname=\"A\"}")));
    let declared = super::key(Alertmanager, "body.receiver");
    assert_eq!(Post::new(NOTIFICATION).one(&declared).key.as_deref(), Some("r"));
    let long = NOTIFICATION.replace("alertname", &"a".repeat(300));
    let key = Post::new(long).one(&record(Alertmanager)).key.unwrap();
    assert!(key.starts_with("sha256:"), "{key}");
    assert_eq!(text(&Post::new(NOTIFICATION).one(&transform(Alertmanager, "body.status"))), r#""firing""#);
}

#[test]
fn what_is_no_notification_is_refused() {
    for (from, to) in [
        (r#""version": "4""#, r#""version": "3""#),
        (r#""version": "4""#, r#""version": 4"#),
        (r#""version": "4", "#, ""),
        (r#""status": "firing""#, r#""status": """#),
        (r#""status": "firing""#, r#""status": null"#),
        ("groupKey", "groupkey"),
        (r#""alerts": []"#, r#""alerts": {}"#),
        (r#""alerts": []"#, r#""version": "4", "alerts": []"#),
        ("}", ""),
    ] {
        let (status, message) = refused(&Post::new(NOTIFICATION.replace(from, to)), Alertmanager);
        assert!(status == 400 && !message.contains("firing"), "{message}");
    }
    for body in ["[]", "null", r#"["4", "k", "firing", []]"#] {
        assert_eq!(refused(&Post::new(body), Alertmanager).0, 400);
    }
    assert_eq!(
        refused(&Post::new(NOTIFICATION).content_type("application/x-www-form-urlencoded"), Alertmanager).0,
        415
    );
}

const EVENT: &str = r#"{"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": {"n": 1}}"#;

fn structured(body: &str) -> Post {
    Post::new(body).content_type("application/cloudevents+json; charset=utf-8")
}

#[test]
fn a_structured_event_is_its_body() {
    let event = structured(EVENT).header("x-a", "1").one(&filter(CloudEvents, "body.type == 't' && body.data.n == 1"));
    assert_eq!((event.verdict.clone(), text(&event)), (Verdict::Kept, EVENT));
    assert_eq!(content_type(&event), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!((event.dedupe_id.as_deref(), event.headers.len()), (Some("2:/a1"), 1));
}

#[test]
fn an_event_without_a_required_attribute_is_refused() {
    for (from, to, expected) in [
        (r#""id": "1", "#, "", "`id`"),
        (r#""id": "1""#, r#""id": """#, "`id`"),
        (r#""source": "/a", "#, "", "`source`"),
        (r#""type": "t", "#, "", "`type`"),
        (r#""specversion": "1.0", "#, "", "`specversion`"),
        (r#""specversion": "1.0""#, r#""specversion": "0.3""#, "not 1.0"),
        (r#""id": "1""#, r#""id": 1"#, "not a text"),
        (r#""id": "1""#, r#""id": "1", "id": "2""#, "twice"),
    ] {
        let (status, message) = refused(&structured(&EVENT.replace(from, to)), CloudEvents);
        assert!(status == 400 && message.contains(expected), "{message}");
    }
    for body in ["[]", r#"["1", "/a", "1.0", "t"]"#, "null", "{"] {
        assert_eq!(refused(&structured(body), CloudEvents).0, 400);
    }
}

fn binary(body: &str) -> Post {
    Post::new(body)
        .header("ce-specversion", "1.0")
        .header("ce-id", "a%20%22b")
        .header("ce-source", "/s")
        .header("ce-type", "t")
        .header("ce-signature", "extension")
}

#[test]
fn a_binary_event_keeps_its_attributes_as_headers() {
    let post = binary("{\"n\": 1}").content_type("application/json").header("x-a", "1");
    let seen = "body.id == 'a \"b' && body.data.n == 1 && body.datacontenttype == 'application/json' && headers['ce-id'] == 'a%20%22b'";
    let event = post.one(&filter(CloudEvents, seen));
    assert_eq!((event.verdict.clone(), text(&event)), (Verdict::Kept, "{\"n\": 1}"));
    assert_eq!(event.headers["ce-id"], "a%20%22b");
    assert_eq!((event.headers.len(), event.dedupe_id.as_deref()), (6, Some("2:/sa \"b")));
    // A transform makes new data; the attributes stay, the rest does not.
    let event = post.one(&transform(CloudEvents, "{'m': body.data.n}"));
    assert_eq!((text(&event), content_type(&event)), (r#"{"m":1}"#, Some("application/json")));
    assert_eq!(event.headers.keys().filter(|name| name.as_str().starts_with("ce-")).count(), event.headers.len());
    assert_eq!(event.headers.len(), 5);
}

#[test]
fn binary_data_is_what_its_media_type_says() {
    for (body, media_type, type_) in [
        ("{\"n\": 1}", Some("application/json"), "map"),
        ("{\"n\": 1}", Some("application/vnd.x+json"), "map"),
        ("{\"n\": 1}", None, "string"),
        ("<n/>", Some("application/xml"), "string"),
        ("", Some("application/json"), "string"),
    ] {
        let post = binary(body);
        let post = match media_type {
            Some(media_type) => post.content_type(media_type),
            None => post,
        };
        let event = post.one(&filter(CloudEvents, &format!("type(body.data) == {type_}")));
        assert_eq!(event.verdict, Verdict::Kept, "{body} {media_type:?}");
    }
    assert_eq!(refused(&binary("{").content_type("application/json"), CloudEvents).0, 400);
}

#[test]
fn a_binary_event_without_an_attribute_is_refused() {
    for missing in ["ce-id", "ce-source", "ce-type", "ce-specversion"] {
        let mut post = binary("");
        post.headers.remove(missing);
        let (status, message) = refused(&post, CloudEvents);
        assert!(status == 400 && message.contains(&missing[3..]), "{message}");
    }
    assert_eq!(refused(&binary("").header("ce-x", "%ff"), CloudEvents).0, 400);
}

#[test]
fn every_event_of_a_batch_is_a_message_with_its_bytes() {
    let second = EVENT.replace(r#""id": "1""#, r#""id":  "2""#).replace("\"n\": 1", "\"n\": 2");
    let batch = format!("[ {EVENT} ,{second}]");
    let post = Post::new(batch).content_type("application/cloudevents-batch+json").header("x-a", "1");
    let events = post.to(&filter(CloudEvents, "body.data.n == 2")).unwrap();
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), [EVENT, second.as_str()]);
    assert_eq!(events.iter().map(|event| &event.verdict).collect::<Vec<_>>(), [&Verdict::Filtered, &Verdict::Kept]);
    assert_eq!(events[1].dedupe_id.as_deref(), Some("2:/a2"));
    assert_eq!((content_type(&events[0]), events[0].headers.len()), (Some("application/cloudevents+json"), 1));
    let empty = Post::new("[]").content_type("application/cloudevents-batch+json");
    assert!(empty.to(&record(CloudEvents)).unwrap().is_empty());
}

#[test]
fn a_batch_with_one_bad_event_is_refused_as_a_whole() {
    let deep = EVENT.replace("{\"n\": 1}", &format!("{}{}", "[".repeat(128), "]".repeat(128)));
    for body in [
        format!("[{EVENT}, {}]", EVENT.replace("\"type\": \"t\", ", "")),
        format!("[{EVENT}, 1]"),
        format!("[{EVENT}, {EVENT}"),
        format!("[{deep}]"),
        EVENT.to_owned(),
        "null".to_owned(),
        format!("[{}]", vec![EVENT; 10_001].join(",")),
    ] {
        let post = Post::new(body).content_type("application/cloudevents-batch+json");
        assert_eq!(refused(&post, CloudEvents).0, 400);
    }
}

#[test]
fn what_is_no_cloud_event_is_refused() {
    for post in [
        Post::new(EVENT),
        Post::new(EVENT).content_type("application/json"),
        Post::new(EVENT).content_type("application/cloudevents+avro"),
        structured(EVENT).header("content-encoding", "gzip"),
    ] {
        assert_eq!(refused(&post, CloudEvents).0, 415);
    }
}

#[test]
fn ids_that_read_alike_are_told_apart() {
    let id = |source: &str, id: &str| {
        let event = EVENT.replace(r#""id": "1""#, &format!("\"id\": \"{id}\"")).replace("/a", source);
        structured(&event).one(&record(CloudEvents)).dedupe_id.unwrap()
    };
    assert_ne!(id("/a", "b1"), id("/ab", "1"));
    assert_ne!(id("/a", &"x".repeat(300)), id("/b", &"x".repeat(300)));
    assert!(id("/a", &"x".repeat(300)).starts_with("sha256:"));
}
