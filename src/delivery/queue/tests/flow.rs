//! What becomes of messages, one step after the other.

use super::super::{fixture::*, *};
use crate::delivery::message::{Entry, State};

/// What comes after this one can be chosen at a start.
#[tokio::test]
async fn it_can_be_used_without_knowing_which_one_it_is() {
    let queue: std::sync::Arc<dyn Queue> = std::sync::Arc::new(opened().await);
    queue.enqueue(arrival("orders", [message(1)])).await.unwrap();
    assert_eq!(ids(&queue.claim(&endpoint("orders"), at(1), 1).await.unwrap()), [id(1)]);
}

async fn opened() -> Embedded {
    open(&Platter::default()).await
}

async fn enqueue(queue: &Embedded, name: &str, messages: impl IntoIterator<Item = NewMessage>) {
    queue.enqueue(arrival(name, messages)).await.unwrap();
}

async fn state(queue: &Embedded, number: u32) -> State {
    queue.find(id(number)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_message_is_handed_out_as_it_came_in() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(1)]).await;
    let claimed = claim(&queue, "orders", 1).await.remove(0);
    let NewMessage { id, accepted_at, content, duplicate, .. } = message(1);
    assert_eq!(claimed.content, content);
    assert_eq!(claimed.claim.id(), id);
    let expected = Message {
        id,
        endpoint: endpoint("orders"),
        accepted_at,
        replayed_at: None,
        body_bytes: content.body().len() as u64,
        duplicate,
        state: State::Due { at: at(1) },
        attempts: 0,
        log: Vec::new(),
    };
    assert_eq!(claimed.message, expected);
}

#[tokio::test]
async fn nothing_is_handed_out_twice_or_to_another_endpoint_or_too_early() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(5), message(6)]).await;
    assert_eq!(ids(&claim(&queue, "refunds", 100).await), []);
    assert_eq!(ids(&claim(&queue, "orders", 4).await), []);
    assert_eq!(queue.next_due(&endpoint("orders")).await, Ok(Some(at(5))));
    let first = claim(&queue, "orders", 5).await;
    assert_eq!(ids(&first), [id(5)]);
    assert_eq!(queue.next_due(&endpoint("orders")).await, Ok(Some(at(6))));
    let second = claim(&queue, "orders", 6).await;
    assert_eq!(ids(&second), [id(6)]);
    assert_eq!(queue.next_due(&endpoint("orders")).await, Ok(None));
    drop(first);
    assert_eq!(ids(&claim(&queue, "orders", 6).await), [id(5)]);
}

#[tokio::test]
async fn the_longest_due_come_first_and_no_more_than_asked_for() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(3), message(1), message(2)]).await;
    let first = queue.claim(&endpoint("orders"), at(10), 2).await.unwrap();
    assert_eq!(ids(&first), [id(1), id(2)]);
}

#[tokio::test]
async fn outcomes_are_kept_with_their_attempts() {
    let queue = opened().await;
    enqueue(&queue, "orders", (1..=4).map(message)).await;
    let outcomes = [
        (Outcome::Delivered, State::Delivered { at: at(50) }),
        (Outcome::Retry { at: at(90) }, State::Due { at: at(90) }),
        (Outcome::DeadLetter("Rejected".into()), State::DeadLetter { at: at(50), reason: "Rejected".into() }),
        (Outcome::Hold, State::Held),
    ];
    for (claimed, (outcome, expected)) in claim(&queue, "orders", 10).await.into_iter().zip(outcomes) {
        let id = claimed.message.id;
        assert_eq!(settle(&queue, claimed, outcome, 50).await, Settled::Applied);
        let message = queue.find(id).await.unwrap().unwrap();
        assert_eq!((message.state, message.attempts), (expected, 1));
        assert_eq!(message.log, [attempt(50, "Tried", 500)]);
    }
    let figures = queue.endpoints().await.unwrap().remove(0);
    let counts = (figures.queued.messages, figures.dead_letters.messages, figures.delivered.messages);
    assert_eq!((counts, figures.oldest), ((2, 1, 1), Some(at(2))));
    assert_eq!(ids(&claim(&queue, "orders", 89).await), []);
    assert_eq!(ids(&claim(&queue, "orders", 90).await), [id(2)]);
}

#[tokio::test]
async fn the_oldest_is_what_has_waited_longest_whatever_has_ended_meanwhile() {
    let queue = opened().await;
    let oldest = async || queue.endpoints().await.unwrap().remove(0).oldest;
    enqueue(&queue, "orders", (1..=4).map(message)).await;
    assert_eq!(oldest().await, Some(at(1)));
    for (index, claimed) in claim(&queue, "orders", 10).await.into_iter().enumerate() {
        let outcome = if index == 1 { Outcome::Retry { at: at(90) } } else { Outcome::Delivered };
        settle(&queue, claimed, outcome, 50).await;
        assert_eq!(oldest().await, Some(at(2)));
    }
    let claimed = claim(&queue, "orders", 90).await.remove(0);
    settle(&queue, claimed, Outcome::Delivered, 91).await;
    assert_eq!(oldest().await, None);
    queue.replay(id(3), endpoint("orders"), at(95)).await.unwrap();
    assert_eq!(oldest().await, Some(at(95)));
}

#[tokio::test]
async fn the_latest_attempts_are_remembered_and_all_are_counted() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(1)]).await;
    for time in 10..30 {
        let claimed = claim(&queue, "orders", time).await.remove(0);
        settle(&queue, claimed, Outcome::Retry { at: at(time + 1) }, time).await;
    }
    let message = queue.find(id(1)).await.unwrap().unwrap();
    assert_eq!(message.attempts, 20);
    assert_eq!(message.log, (22..30).map(|time| attempt(time, "Tried", 500)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_later_message_of_a_key_waits_for_the_earlier() {
    let queue = opened().await;
    enqueue(&queue, "alerts", [keyed(1, "disk"), keyed(2, "disk"), keyed(3, "cpu")]).await;
    enqueue(&queue, "alerts", [keyed(4, "disk"), message(5)]).await;
    enqueue(&queue, "others", [keyed(6, "disk")]).await;
    let mut due = claim(&queue, "alerts", 100).await;
    assert_eq!(ids(&due), [id(1), id(3), id(5)]);
    assert_eq!(ids(&claim(&queue, "others", 100).await), [id(6)]);
    assert_eq!(state(&queue, 2).await, State::Waiting);

    // It keeps its turn while it is tried again.
    settle(&queue, due.remove(0), Outcome::Retry { at: at(200) }, 100).await;
    assert_eq!(ids(&claim(&queue, "alerts", 199).await), []);
    let again = claim(&queue, "alerts", 200).await.remove(0);
    settle(&queue, again, Outcome::DeadLetter("Expired".into()), 200).await;
    let next = claim(&queue, "alerts", 200).await;
    assert_eq!(ids(&next), [id(2)]);
    assert!(queue.discard(id(2)).await.unwrap());
    assert_eq!(ids(&claim(&queue, "alerts", 200).await), [id(4)]);
}

#[tokio::test]
async fn what_comes_in_one_commit_with_the_end_of_an_earlier_message_has_its_turn() {
    let queue = opened().await;
    enqueue(&queue, "alerts", [keyed(1, "disk")]).await;
    let earlier = claim(&queue, "alerts", 10).await.remove(0);
    let (before, let_go) = held_up(&queue);
    let (_, later, settled, replayed, last, ()) = futures::join!(
        before,
        queue.enqueue(arrival("alerts", [keyed(3, "disk"), message(2)])),
        queue.settle(vec![settlement(earlier, Outcome::Delivered, 10)], at(10)),
        queue.replay(id(2), endpoint("alerts"), at(11)),
        queue.enqueue(arrival("alerts", [keyed(4, "disk"), message(2), keyed(3, "disk")])),
        async { drop(let_go) },
    );
    assert_eq!((later, settled, last), (Ok(()), Ok(vec![Settled::Applied]), Ok(())));
    assert_eq!(replayed, Ok(Some(Phase::Due)));
    assert_eq!(ids(&claim(&queue, "alerts", 20).await), [id(3), id(2)]);
}

#[tokio::test]
async fn held_messages_are_due_once_they_are_released_in_the_order_of_their_key() {
    let queue = opened().await;
    let held = |number| NewMessage { entry: Entry::Held, ..keyed(number, "disk") };
    enqueue(&queue, "alerts", [held(1), keyed(2, "disk"), held(3), NewMessage { entry: Entry::Held, ..message(4) }])
        .await;
    assert_eq!(ids(&claim(&queue, "alerts", 100).await), []);
    assert_eq!(queue.release(&endpoint("alerts")).await, Ok(3));
    let due = claim(&queue, "alerts", 100).await;
    assert_eq!(ids(&due), [id(1), id(4)]);
    assert_eq!(queue.release(&endpoint("alerts")).await, Ok(0));
    assert_eq!(queue.release(&endpoint("unknown")).await, Ok(0));
}

#[tokio::test]
async fn a_message_can_be_stored_as_a_dead_letter() {
    let queue = opened().await;
    let limits = Limits { messages: Some(0), ..Limits::default() };
    let entry = Entry::DeadLetter("FilterFailed".into());
    let messages = vec![NewMessage { entry, ..keyed(1, "disk") }];
    queue.enqueue(Arrival { limits, messages, ..arrival("alerts", []) }).await.unwrap();
    assert_eq!(state(&queue, 1).await, State::DeadLetter { at: at(1), reason: "FilterFailed".into() });
}

#[tokio::test]
async fn a_dead_letter_is_replayed_to_the_endpoint_of_today() {
    let queue = opened().await;
    enqueue(&queue, "orders", [keyed(1, "k"), keyed(2, "k")]).await;
    let late = claim(&queue, "orders", 10).await.remove(0);
    assert_eq!(queue.bury(&endpoint("orders"), "EndpointDeleted".into(), at(20)).await, Ok(2));
    let today = EndpointRef { uid: "another".into(), ..endpoint("orders") };
    assert_eq!(queue.replay(id(2), today.clone(), at(30)).await, Ok(Some(Phase::Due)));
    assert_eq!(queue.replay(id(1), today.clone(), at(31)).await, Ok(Some(Phase::Waiting)));
    assert_eq!(queue.replay(id(9), today.clone(), at(31)).await, Ok(None));

    // A call of before says nothing about the one that the operator wants.
    assert_eq!(settle(&queue, late, Outcome::Delivered, 32).await, Settled::Superseded);
    let claimed = queue.claim(&today, at(40), 9).await.unwrap().remove(0);
    let Claimed { message, content: body, .. } = &claimed;
    assert_eq!((message.id, &message.endpoint, message.attempts), (id(2), &today, 0));
    assert_eq!((message.accepted_at, message.since(), body), (at(2), at(30), &content(2)));
    settle(&queue, claimed, Outcome::Delivered, 41).await;
    assert_eq!(ids(&queue.claim(&today, at(41), 9).await.unwrap()), [id(1)]);
    assert_eq!(queue.endpoints().await.unwrap().len(), 1, "nothing is left of the earlier endpoint");
}

#[tokio::test]
async fn replaying_what_is_queued_makes_it_due_at_once() {
    let queue = opened().await;
    enqueue(&queue, "orders", [keyed(1, "k"), keyed(2, "k")]).await;
    let claimed = claim(&queue, "orders", 10).await.remove(0);
    settle(&queue, claimed, Outcome::Retry { at: at(9_000) }, 11).await;
    assert_eq!(queue.replay(id(2), endpoint("orders"), at(20)).await, Ok(Some(Phase::Waiting)));
    assert_eq!(queue.replay(id(1), endpoint("orders"), at(20)).await, Ok(Some(Phase::Due)));
    assert_eq!(ids(&claim(&queue, "orders", 20).await), [id(1)]);
}

#[tokio::test]
async fn a_call_that_was_under_way_when_its_webhook_went_may_still_have_arrived() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(1), message(2)]).await;
    let mut late = claim(&queue, "orders", 10).await;
    assert_eq!(queue.bury(&endpoint("orders"), "EndpointDeleted".into(), at(20)).await, Ok(2));
    assert_eq!(settle(&queue, late.remove(0), Outcome::Delivered, 21).await, Settled::Applied);
    assert_eq!(settle(&queue, late.remove(0), Outcome::Retry { at: at(30) }, 21).await, Settled::Superseded);
    assert_eq!(state(&queue, 1).await, State::Delivered { at: at(21) });
    assert_eq!(state(&queue, 2).await, State::DeadLetter { at: at(20), reason: "EndpointDeleted".into() });
}

#[tokio::test]
async fn what_was_discarded_is_gone_and_a_settlement_of_it_is_superseded() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(1)]).await;
    let claimed = claim(&queue, "orders", 10).await.remove(0);
    assert_eq!(queue.discard(id(1)).await, Ok(true));
    assert_eq!(queue.discard(id(1)).await, Ok(false));
    assert_eq!(settle(&queue, claimed, Outcome::Delivered, 11).await, Settled::Superseded);
    assert_eq!((queue.find(id(1)).await, queue.content(id(1)).await), (Ok(None), Ok(None)));
    assert_eq!(queue.endpoints().await, Ok(Vec::new()));
}

#[tokio::test]
async fn the_same_message_is_stored_once() {
    let queue = opened().await;
    enqueue(&queue, "orders", [message(1), message(1)]).await;
    enqueue(&queue, "orders", [message(1), message(2)]).await;
    assert_eq!(ids(&claim(&queue, "orders", 10).await), [id(1), id(2)]);
}

#[tokio::test]
async fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let queue = opened().await;
    let limits = Limits { messages: Some(3), ..Limits::default() };
    let batch = |numbers: std::ops::RangeInclusive<u32>| Arrival { limits, ..arrival("orders", numbers.map(message)) };
    assert_eq!(queue.enqueue(batch(1..=2)).await, Ok(()));
    assert_eq!(queue.enqueue(batch(3..=4)).await, Err(EnqueueError::Full(Quota::Messages)));
    assert_eq!(queue.find(id(3)).await, Ok(None));
    assert_eq!(queue.enqueue(batch(5..=5)).await, Ok(()));
    let first = claim(&queue, "orders", 10).await.remove(0);
    settle(&queue, first, Outcome::Delivered, 10).await;
    assert_eq!(queue.enqueue(batch(6..=6)).await, Ok(()), "what is delivered takes no room");
}

#[tokio::test]
async fn a_full_queue_refuses_without_a_sync() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    let syncs = platter.syncs();
    let limits = Limits { bytes: Some(0), ..Limits::default() };
    let refused = queue.enqueue(Arrival { limits, ..arrival("orders", [message(1)]) }).await;
    assert_eq!((refused, platter.syncs()), (Err(EnqueueError::Full(Quota::Bytes)), syncs));
}

#[tokio::test]
async fn who_waits_hears_of_endpoints_that_changed() {
    let queue = opened().await;
    let waiting = queue.changed();
    enqueue(&queue, "orders", [message(1)]).await;
    assert_eq!(waiting.await, [endpoint("orders")]);
    let mut claimed = claim(&queue, "orders", 10).await;
    assert!(futures::FutureExt::now_or_never(queue.changed()).is_none());
    claimed.clear();
    assert_eq!(queue.changed().await, [endpoint("orders")], "a claim was given back");
}

#[tokio::test]
async fn after_a_start_all_that_is_not_settled_is_due() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    enqueue(&queue, "orders", [keyed(1, "k"), keyed(2, "k"), message(3)]).await;
    enqueue(&queue, "empty", [message(4)]).await;
    let in_flight = claim(&queue, "orders", 10).await;
    let done = claim(&queue, "empty", 10).await.remove(0);
    settle(&queue, done, Outcome::Delivered, 11).await;
    queue.close().await;
    drop(in_flight);
    assert_eq!(queue.enqueue(arrival("orders", [message(5)])).await, Err(EnqueueError::Unavailable));
    assert_eq!(queue.find(id(1)).await, Err(Unavailable));

    let queue = open(&platter).await;
    assert_eq!(queue.changed().await, [endpoint("orders")]);
    assert_eq!(ids(&claim(&queue, "orders", 10).await), [id(1), id(3)]);
    enqueue(&queue, "orders", [keyed(6, "k")]).await;
    assert_eq!(state(&queue, 6).await, State::Waiting);
}

#[tokio::test]
async fn what_senders_may_repeat_is_known_after_a_start() {
    let queue = opened().await;
    enqueue(&queue, "orders", (1..=6).map(message)).await;
    enqueue(&queue, "orders", [NewMessage { duplicate: None, ..message(7) }]).await;
    enqueue(&queue, "refunds", [message(8)]).await;
    let done = claim(&queue, "orders", 4).await.remove(3);
    settle(&queue, done, Outcome::Delivered, 10).await;
    let recent = queue.recent(at(3), 4).await.unwrap();
    let of = |name: &str| {
        let of = recent.iter().filter(|recent| recent.endpoint == endpoint(name));
        of.map(|recent| &*recent.duplicate.id).collect::<Vec<_>>()
    };
    assert_eq!(of("orders"), ["delivery-6", "delivery-5", "delivery-4"]);
    assert_eq!(of("refunds"), ["delivery-8"]);
    assert_eq!(queue.recent(at(6), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_replayed_does_not_hide_what_came_later() {
    let queue = opened().await;
    let dead = |number| NewMessage { entry: Entry::DeadLetter("Rejected".into()), ..message(number) };
    enqueue(&queue, "orders", [dead(1), dead(2), message(5)]).await;
    for number in [1, 2] {
        queue.replay(id(number), endpoint("orders"), at(9)).await.unwrap();
    }
    let recent = queue.recent(at(3), 1).await.unwrap();
    assert_eq!(recent.iter().map(|recent| recent.id).collect::<Vec<_>>(), [id(5)]);
}
