//! What has ended is kept for a while, and listed page by page.

use std::time::Duration;

use super::super::{fixture::*, *};
use crate::delivery::message::Entry;

async fn opened(retention: Retention) -> Embedded {
    Embedded::open_saving(Platter::default(), retention, UNSAVED).await.unwrap()
}

/// Messages that ended at their own time.
fn dead(numbers: impl IntoIterator<Item = u32>) -> impl Iterator<Item = NewMessage> {
    numbers.into_iter().map(|number| NewMessage { entry: Entry::DeadLetter("Rejected".into()), ..message(number) })
}

async fn kept(queue: &Embedded, name: &str) -> Vec<u32> {
    let query = Query { name: Some(name.into()), limit: 1_000, ..Query::default() };
    let page = queue.list(query).await.unwrap();
    page.messages.iter().map(|message| (0..2_000).find(|number| id(*number) == message.id).unwrap()).collect()
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_and_nothing_else() {
    let queue = opened(Retention { age: Duration::from_millis(100), bytes: u64::MAX }).await;
    queue.enqueue(arrival("orders", dead(1..=300))).await.unwrap();
    queue.enqueue(arrival("orders", [message(301)])).await.unwrap();
    queue.enqueue(arrival("gone", dead([5]))).await.unwrap();
    let expired = |expired| Ok(Pruned { expired, ..Pruned::default() });
    assert_eq!(queue.prune(at(100)).await, expired(0));
    assert_eq!(queue.prune(at(390)).await, expired(290));
    assert_eq!(kept(&queue, "orders").await, [301, 291, 292, 293, 294, 295, 296, 297, 298, 299, 300]);
    assert_eq!(queue.prune(at(9_000)).await, expired(10));
    assert_eq!(queue.endpoints().await.unwrap().len(), 1, "an endpoint without messages is forgotten");
    assert_eq!(contradictions(queue.shared()), [] as [Contradiction; 0]);
}

#[tokio::test]
async fn many_endpoints_are_pruned_in_steps() {
    let queue = opened(Retention { age: Duration::ZERO, bytes: u64::MAX }).await;
    for number in 0..600 {
        queue.enqueue(arrival(&format!("hook-{number}"), dead([number]))).await.unwrap();
    }
    assert_eq!(queue.prune(at(9_000)).await.unwrap().expired, 600);
    assert_eq!(queue.endpoints().await, Ok(Vec::new()));
}

#[tokio::test]
async fn where_there_is_no_room_dead_letters_go_last_and_who_keeps_most_gives_first() {
    let (size, letters) = (512 + content(7).body().len() as u64, 60);
    let queue = opened(Retention { age: Duration::from_hours(1), bytes: size * 80 }).await;
    // All of one length.
    let numbers = |from: u32, count: u32| (from..from + count).map(|number| number * 7);
    queue.enqueue(arrival("noisy", numbers(100, 100).map(message))).await.unwrap();
    queue.enqueue(arrival("noisy", dead(numbers(10, letters)))).await.unwrap();
    queue.enqueue(arrival("quiet", dead(numbers(0, 4)))).await.unwrap();
    for claimed in claim(&queue, "noisy", 9_000).await {
        settle(&queue, claimed, Outcome::Delivered, 9_000).await;
    }
    let Pruned { expired, delivered_early, dead_letters_early } = queue.prune(at(9_000)).await.unwrap();
    assert_eq!((expired, dead_letters_early), (0, 0));
    assert!((84..100).contains(&delivered_early), "{delivered_early}");

    queue.enqueue(arrival("noisy", dead(numbers(200, 40)))).await.unwrap();
    let Pruned { dead_letters_early, .. } = queue.prune(at(9_000)).await.unwrap();
    assert!(dead_letters_early > 20, "{dead_letters_early}");
    let figures = queue.endpoints().await.unwrap();
    assert!(figures.iter().all(|figures| figures.delivered == Amount::default()));
    let letters: u64 = figures.iter().map(|figures| figures.dead_letters.messages).sum();
    assert!((60..=80).contains(&letters), "no more than needed: {letters}");
    assert_eq!(kept(&queue, "quiet").await.len(), 4);
    assert_eq!(kept(&queue, "noisy").await.last(), Some(&(239 * 7)), "the latest stays");
    assert_eq!(contradictions(queue.shared()), [] as [Contradiction; 0]);
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let queue = opened(Retention::default()).await;
    queue.enqueue(arrival("orders", (0..5).map(message))).await.unwrap();
    queue.enqueue(arrival("orders", dead(5..8))).await.unwrap();
    queue.enqueue(arrival("refunds", dead(8..11))).await.unwrap();
    let other = EndpointRef { namespace: "ops".into(), ..endpoint("orders") };
    queue.enqueue(Arrival { endpoint: other, ..arrival("", [message(11)]) }).await.unwrap();

    let all = Query::default();
    let name = |name: &str| Query { name: Some(name.into()), ..Query::default() };
    let namespace = |namespace: &str| Query { namespace: Some(namespace.into()), ..Query::default() };
    let cases: [(Query, Vec<u32>); 7] = [
        (all.clone(), (0..12).collect()),
        (name("orders"), (0..8).chain([11]).collect()),
        (namespace("shop"), (0..11).collect()),
        (Query { phase: Some(Phase::DeadLetter), ..all.clone() }, (5..11).collect()),
        (Query { phase: Some(Phase::DeadLetter), ..name("refunds") }, (8..11).collect()),
        (Query { phase: Some(Phase::Held), ..all }, Vec::new()),
        (namespace("nowhere"), Vec::new()),
    ];
    for (query, expected) in cases {
        let expected: Vec<MessageId> = expected.into_iter().map(id).collect();
        for limit in 1..=13 {
            let (mut listed, mut pages, mut query) = (Vec::new(), 0, Query { limit, ..query.clone() });
            loop {
                let page = queue.list(query.clone()).await.unwrap();
                listed.extend(page.messages.iter().map(|message| message.id));
                pages += 1;
                let Some(next) = page.next else { break };
                query.after = Some(Cursor::parse(&next.to_string()).unwrap());
            }
            assert_eq!(listed, expected, "{query:?}");
            assert_eq!(pages, expected.len().div_ceil(limit).max(1), "{query:?}");
        }
    }
}

#[test]
fn other_text_is_no_cursor() {
    for bad in ["", "0", &"0".repeat(41), &"g".repeat(42), &"é".repeat(21), &"+".repeat(42)] {
        assert_eq!(Cursor::parse(bad), None, "{bad}");
    }
}
