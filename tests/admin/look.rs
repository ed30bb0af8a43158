//! What is seen of messages.

use crate::site::{SECRET, SIGNATURE, SIGNED, Site, URL_ID};

const TOKEN: &str = "canary-bearer-token";

#[test]
fn a_message_is_listed_and_shown_and_its_body_only_where_it_is_asked_for() {
    let site = Site::start();
    let headers = [("X-GitHub-Delivery", "d-1"), ("X-GitHub-Event", "push"), ("Content-Type", "text/plain")];
    let id = site.post(&headers);
    site.wait_state(&id, "delivered");

    let table = site.run(&["deliveries"]).ok();
    let line = table.lines().nth(1).unwrap();
    assert!(line.starts_with(&id) && line.contains("delivered") && line.contains("demo/alerts"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");

    let shown = site.run(&["deliveries", &id]).ok();
    for part in ["demo/alerts (uid u1)", "d-1", "13 bytes", "Latest attempts", "  200  "] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let with_body = site.run(&["deliveries", &id, "--body"]).ok();
    assert!(
        with_body.contains("  x-github-event: push\n") && with_body.ends_with("Body\nHello, World!\n"),
        "{with_body}"
    );
    let json = site.show(&id, &["--body"]);
    assert_eq!(json["content"]["body"]["text"], SIGNED);
    assert_eq!(json["log"][0]["status"], 200);

    for output in [table, shown, site.run(&["deliveries", "-o", "json"]).ok(), site.show(&id, &[]).to_string()] {
        assert!(!output.contains(SIGNED) && !output.contains("push"), "{output}");
    }
}

#[test]
fn no_secret_is_seen() {
    let site = Site::start();
    let id = site.post(&[("Authorization", &format!("Bearer {TOKEN}")), ("Cookie", TOKEN), ("X-Api-Key", TOKEN)]);
    let outputs = [
        site.run(&["deliveries"]).ok(),
        site.run(&["deliveries", "-o", "json"]).ok(),
        site.run(&["deliveries", &id, "--body"]).ok(),
        site.show(&id, &["--body"]).to_string(),
    ];
    for output in &outputs {
        assert!(output.contains(&id), "{output}");
        for secret in [TOKEN, SECRET, SIGNATURE, URL_ID] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
    assert!(outputs[3].contains(SIGNED), "what is there is found");
}

#[test]
fn a_list_can_be_narrowed_and_is_put_together_from_pages() {
    let site = Site::start();
    let delivered = site.send_until("one", "delivered");
    site.receiver.answer(422);
    let mut dead: Vec<String> = (0..4).map(|number| site.send_until(&number.to_string(), "dead-letter")).collect();
    dead.sort();
    let found = |filter: &[&str]| {
        let mut found = site.list(filter);
        found.sort();
        found
    };
    assert_eq!(found(&["--state", "delivered"]), [delivered.as_str()]);
    assert_eq!(found(&["--state", "dead-letter", "-n", "demo", "--webhook", "alerts"]), dead);
    assert_eq!(found(&["--limit", "5"]).len(), 5);
    assert!(found(&["-n", "other"]).is_empty() && found(&["--webhook", "other"]).is_empty());
    assert!(found(&["--state", "held"]).is_empty());

    let some = site.run(&["deliveries", "--limit", "3"]);
    assert!(some.err.contains("There are more"), "{some:?}");
    assert_eq!(some.ok().lines().count(), 1 + 3);
    assert!(site.run(&["deliveries", "--limit", "5"]).err.is_empty());
}
