//! What is done to messages.

use std::fs;

use serde_json::json;

use crate::site::Site;

#[test]
fn a_dead_letter_is_replayed_once_its_receiver_works_again() {
    let site = Site::start();
    site.receiver.answer(422);
    let id = site.send_until("important", "dead-letter");
    let shown = site.show(&id, &[]);
    assert_eq!((&shown["attempts"], &shown["lastAttempt"]["status"]), (&json!(1), &json!(422)), "{shown}");
    assert!(site.run(&["deliveries", "--state", "dead-letter"]).ok().contains("(422)"));

    site.receiver.answer(200);
    assert_eq!(site.run(&["replay", &id]).ok(), format!("{id} due\n"));
    site.wait_state(&id, "delivered");
    let calls = site.receiver.calls();
    assert_eq!(calls.iter().map(|call| &*call.id).collect::<Vec<_>>(), [&id, &id], "its id stays");
    assert!(calls.iter().all(|call| call.body == "important"));
    let shown = site.show(&id, &[]);
    assert!(shown["replayedAt"].is_string() && shown["log"].as_array().unwrap().len() == 2, "{shown}");
}

#[test]
fn a_message_of_a_deleted_webhook_is_replayed_after_it_was_applied_again() {
    let site = Site::start();
    site.receiver.answer(422);
    let ids: Vec<String> = (0..3).map(|number| site.send_until(&number.to_string(), "dead-letter")).collect();
    site.receiver.answer(200);
    site.delete();
    let mut refused = String::new();
    site.wait_until("gone", || {
        let done = site.run(&["send", "demo/alerts"]);
        refused.clone_from(&done.err);
        done.code == 1
    });
    assert!(refused.contains("there is no Webhook demo/alerts here"), "{refused}");
    for command in [&["replay", &ids[0]][..], &["replay", "--dead-letters", "-n", "demo", "--webhook", "alerts"]] {
        let refused = site.run(command).fails(1);
        assert!(refused.contains("no Webhook demo/alerts") && refused.contains("apply it again"), "{refused}");
    }
    assert_eq!(site.show(&ids[0], &[])["state"], "dead-letter", "as it was");

    site.apply("u2");
    site.wait_until("back", || site.run(&["replay", &ids[0]]).code == 0);
    site.wait_state(&ids[0], "delivered");
    assert_eq!(site.show(&ids[0], &[])["uid"], "u2");
    let all = site.run(&["replay", "--dead-letters", "-n", "demo", "--webhook", "alerts"]).ok();
    assert_eq!(all, "2 replayed\n");
    for id in &ids {
        site.wait_state(id, "delivered");
    }
    assert_eq!(site.list(&["--state", "dead-letter"]), [""; 0]);
    let none = site.run(&["replay", "--dead-letters", "-n", "demo", "--webhook", "alerts"]).ok();
    assert_eq!(none, "0 replayed\n");
}

#[test]
fn a_dropped_message_is_gone() {
    let site = Site::start();
    site.receiver.answer(422);
    let (first, second) = (site.send_until("1", "dead-letter"), site.send_until("2", "dead-letter"));
    assert_eq!(site.run(&["drop", &first]).ok(), format!("{first} dropped\n"));
    assert_eq!(site.list(&[]), [second.as_str()]);
    for command in [&["deliveries", &first][..], &["replay", &first]] {
        assert!(site.run(command).fails(1).contains("there is no message of that id"));
    }
    let both = site.run(&["drop", &first, &second]);
    assert_eq!((both.code, both.out.as_str()), (1, format!("{second} dropped\n").as_str()), "the others are done");
    assert!(both.err.starts_with(&first), "{both:?}");
    assert_eq!(site.list(&[]), [""; 0]);
}

#[test]
fn what_is_sent_goes_through_the_handler() {
    let site = Site::start_with(json!({"type": "Json", "filter": "body.keep", "transform": "{'number': body.number}"}));
    let file = site.path().join("body.json");
    fs::write(&file, r#"{"keep": true, "number": 7}"#).unwrap();
    let id = site.send_until(&format!("@{}", file.display()), "delivered");
    let calls = site.receiver.calls();
    assert_eq!(
        (&*calls[0].id, &*calls[0].body, &*calls[0].content_type),
        (&*id, r#"{"number":7}"#, "application/json")
    );

    let filtered = site.run(&["send", "demo/alerts", "--data", r#"{"keep": false}"#]).ok();
    assert!(filtered.contains("spec.handler.filter drops it"), "{filtered}");
    let invalid = site.run(&["send", "demo/alerts", "--data", "{"]).fails(1);
    assert!(invalid.contains("spec.handler.type"), "{invalid}");
    let large = site.run(&["send", "demo/alerts", "--data", &format!("\"{}\"", "x".repeat(1000))]).fails(1);
    assert!(large.contains("spec.maxBodyBytes"), "{large}");
    assert!(site.run(&["send", "demo/alerts", "--data", "@/no/such/file"]).fails(1).contains("/no/such/file"));
    assert_eq!(site.list(&[]), [id]);
}

#[test]
fn what_is_sent_has_the_headers_that_are_given_and_counts_as_sent() {
    let site = Site::start();
    let given = ["--content-type", "text/plain; charset=utf-8", "--header", "X-Event=push=1", "--header", "X-Two="];
    let out = site.run(&[&["send", "demo/alerts", "--data", "-h"], &given[..]].concat()).ok();
    let id = out.split(' ').next().unwrap();
    site.wait_state(id, "delivered");
    let call = &site.receiver.calls()[0];
    assert_eq!((&*call.body, &*call.content_type), ("-h", "text/plain; charset=utf-8"));
    let headers = &site.show(id, &["--body"])["content"]["headers"];
    for header in [json!(["x-event", "push=1"]), json!(["x-two", ""])] {
        assert!(headers.as_array().unwrap().contains(&header), "{header} in {headers}");
    }
    let refused = site.run(&["send", "demo/alerts", "--header", "Content-Type=a/b"]).fails(2);
    assert!(refused.contains("--content-type"), "{refused}");
    let metrics = site.probe("/metrics");
    assert!(metrics.contains("snaphook_hook_posts_total{outcome=\"sent\"} 1\n"), "{metrics}");
}

#[test]
fn how_much_there_is_of_a_webhook_is_listed_also_when_it_is_gone() {
    let site = Site::start();
    assert_eq!(site.run(&["endpoints"]).ok(), "No messages.\n");
    site.send_until("12345", "delivered");
    site.receiver.answer(422);
    (0..2).for_each(|number: u8| drop(site.send_until(&number.to_string(), "dead-letter")));
    let json: serde_json::Value = serde_json::from_str(&site.run(&["endpoints", "-o", "json"]).ok()).unwrap();
    let one = &json["endpoints"][0];
    assert_eq!((&one["served"], &one["deadLetters"]), (&json!(true), &json!({"messages": 2, "bytes": 2})), "{json}");
    assert_eq!((&one["queued"]["messages"], &one["delivered"]["bytes"]), (&json!(0), &json!(5)), "{json}");
    site.delete();
    site.wait_until("gone", || site.run(&["endpoints", "-n", "demo"]).ok().contains("demo/alerts (gone)"));
    assert_eq!(site.run(&["endpoints", "-n", "other"]).ok(), "No messages.\n");
}
