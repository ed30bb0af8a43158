//! Disks that fail: nothing is acknowledged that is not there, what was acknowledged comes back, and the words help.

use std::{io::ErrorKind, sync::mpsc::channel};

use futures::poll;

use super::super::{embedded::SMALL, fixture::*, *};

/// Waits until the queue is closed, or is open again.
async fn until(queue: &Embedded, open: bool) -> String {
    let mut health = queue.health();
    let health = health.wait_for(|health| (*health == Health::Open) == open).await.unwrap();
    match &*health {
        Health::Open => String::new(),
        Health::Closed(reason) => reason.to_string(),
    }
}

#[tokio::test]
async fn after_a_failure_the_queue_is_closed_and_opens_again_by_itself() {
    let cases = [
        (Failure::Sync, "cannot be opened"),
        (
            Failure::Write(ErrorKind::StorageFull),
            "no room for the queue's file /platter/queue.redb: make its volume larger",
        ),
        (Failure::Write(ErrorKind::ReadOnlyFilesystem), "/platter/queue.redb is on a file system that is read-only"),
        (Failure::Panic, "damaged"),
    ];
    for (failure, words) in cases {
        let platter = Platter::default();
        let queue = open(&platter).await;
        queue.enqueue(arrival("orders", (1..9).map(message))).await.unwrap();
        let claimed = claim(&queue, "orders", 2).await;
        platter.fail(failure);
        let waiting = [9, 10, 11].map(|number| queue.enqueue(arrival("orders", [message(number)])));
        assert_eq!(futures::future::join_all(waiting).await, [Err(EnqueueError::Unavailable); 3], "{failure:?}");
        let reason = until(&queue, false).await;
        assert!(reason.contains(words), "{failure:?}: {reason}");

        platter.fail(None);
        until(&queue, true).await;
        assert_eq!(contradictions(queue.shared()), [] as [Contradiction; 0]);
        assert_eq!(ids(&claim(&queue, "orders", 8).await), (3..9).map(id).collect::<Vec<_>>(), "{failure:?}");
        for claimed in claimed {
            assert_eq!(settle(&queue, claimed, Outcome::Delivered, 20).await, Settled::Applied);
        }
        assert_eq!(queue.enqueue(arrival("orders", [message(12)])).await, Ok(()));
    }
}

#[tokio::test]
async fn while_it_cannot_be_opened_nobody_waits() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    queue.enqueue(arrival("orders", [message(1)])).await.unwrap();
    platter.fail(Failure::Sync);
    assert_eq!(queue.enqueue(arrival("orders", [message(2)])).await, Err(EnqueueError::Unavailable));
    platter.fail(Failure::Open(ErrorKind::PermissionDenied));
    let mut health = queue.health();
    health.wait_for(|health| matches!(health, Health::Closed(reason) if reason.contains("fsGroup"))).await.unwrap();
    assert_eq!(queue.enqueue(arrival("orders", [message(3)])).await, Err(EnqueueError::Unavailable));
    assert_eq!(queue.find(id(1)).await, Err(Unavailable));
    platter.fail(None);
    until(&queue, true).await;
    assert_eq!(queue.changed().await, [endpoint("orders")]);
    assert_eq!(ids(&claim(&queue, "orders", 9).await), [id(1)]);
}

#[tokio::test]
async fn a_queue_that_cannot_be_opened_again_can_be_closed() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    platter.fail(Failure::Open(ErrorKind::PermissionDenied));
    let _ = queue.commands().send(super::super::inbox::Command::Broken(queue.shared().generation()));
    until(&queue, false).await;
    queue.close().await;
    let mut health = queue.health();
    assert!(health.wait_for(|health| *health == Health::Open).await.is_err());
}

#[tokio::test]
async fn a_read_that_fails_closes_the_queue_too() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    // More than fits into the memory of the database.
    for number in 0..18 {
        let body = bytes::Bytes::from(vec![7; 1 << 20]);
        let messages = [NewMessage { content: Content::new(Vec::new(), body), ..message(number) }];
        queue.enqueue(arrival("orders", messages)).await.unwrap();
    }
    platter.fail(Failure::Read);
    assert_eq!(queue.content(id(0)).await, Err(Unavailable));
    until(&queue, false).await;
    platter.fail(None);
    until(&queue, true).await;
    assert!(queue.content(id(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_was_changed_is_refused_after_a_crash_and_says_what_to_do() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    queue.enqueue(arrival("orders", (0..50).map(message))).await.unwrap();
    let mut bytes = platter.after_power_failure().bytes();
    // All but the header.
    bytes[4_096..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let error = Embedded::open_saving(Platter::of(bytes), Retention::default(), UNSAVED).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("/platter/queue.redb is damaged"), "{error}");
}

#[tokio::test]
async fn a_file_of_another_version_is_refused() {
    let platter = Platter::default();
    open(&platter).await.close().await;
    let database = redb::Builder::new().create_with_backend(platter.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(super::super::tables::META).unwrap().insert("version", 9).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Embedded::open_saving(platter, Retention::default(), UNSAVED).await.unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 9, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_somebody_began_to_make_is_made() {
    for begun in [vec![0; 40_000], b"redb\x1a\x0a\0\0\0".repeat(9), vec![0; 3]] {
        let queue = open(&Platter::of(begun)).await;
        assert_eq!(queue.enqueue(arrival("orders", [message(1)])).await, Ok(()));
    }
}

#[tokio::test]
async fn all_who_wait_share_a_sync() {
    let platter = Platter::default();
    let queue = open(&platter).await;
    // A file that has to grow has syncs of its own.
    queue.enqueue(arrival("orders", (100..400).map(message))).await.unwrap();
    let (let_go, held_up) = std::sync::mpsc::channel::<()>();
    let blocking = queue.commit(SMALL, move |_| Ok(held_up.recv().is_err()));
    let callers = (0..64).map(|number| queue.enqueue(arrival("orders", [message(number)])));
    let mut all = Box::pin(futures::future::join(blocking, futures::future::join_all(callers)));
    assert!(futures::poll!(&mut all).is_pending());
    let before = platter.syncs();
    drop(let_go);
    assert_eq!(all.await.1, [Ok(()); 64]);
    assert!(platter.syncs() - before <= 2, "{}", platter.syncs() - before);
}

#[tokio::test]
async fn posts_whose_sender_has_gone_are_not_stored() {
    let queue = open(&Platter::default()).await;
    let (first, let_go) = held_up(&queue);
    let gone = queue.enqueue(arrival("orders", [message(1)]));
    let both = futures::future::join(first, gone);
    assert!(futures::FutureExt::now_or_never(both).is_none(), "it was given up");
    drop(let_go);
    queue.enqueue(arrival("orders", [message(2)])).await.unwrap();
    assert_eq!(ids(&claim(&queue, "orders", 9).await), [id(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_noted_though_its_sender_has_gone() {
    let queue = open(&Platter::default()).await;
    let ((let_first_go, first_held_up), (let_go, held_up)) = (channel::<()>(), channel::<()>());
    let ((note, noted), (running, runs)) = (channel(), channel());
    let stored = Stored::new(move || note.send("noted").unwrap());
    let mut first = Box::pin(queue.commit(SMALL, move |_| Ok(first_held_up.recv().is_err())));
    let mut gone = queue.enqueue(Arrival { stored, ..arrival("orders", [message(1)]) });
    let mut same_commit = Box::pin(queue.commit(SMALL, move |_| {
        running.send(()).unwrap();
        Ok(held_up.recv().is_err())
    }));
    assert!(poll!(&mut first).is_pending() && poll!(&mut gone).is_pending() && poll!(&mut same_commit).is_pending());
    drop(let_first_go);
    runs.recv().unwrap();
    drop(gone);
    assert!(noted.try_recv().is_err(), "it is not on disk yet");
    drop(let_go);
    same_commit.await.unwrap();
    assert_eq!(noted.recv(), Ok("noted"));
    assert_eq!(ids(&claim(&queue, "orders", 9).await), [id(1)]);
}

#[tokio::test]
async fn what_is_stored_is_noted_before_the_queue_is_closed() {
    let queue = open(&Platter::default()).await;
    let (note, noted) = channel();
    let stored = Stored::new(move || note.send("noted").unwrap());
    let mut gone = queue.enqueue(Arrival { stored, ..arrival("orders", [message(1)]) });
    let mut commit = Box::pin(queue.commit(SMALL, |_| Ok(())));
    assert!(poll!(&mut gone).is_pending() && poll!(&mut commit).is_pending());
    queue.close().await;
    assert_eq!((noted.try_recv(), commit.await), (Ok("noted"), Ok(())));
}

#[tokio::test]
async fn what_is_not_stored_is_not_noted() {
    let queue = open(&Platter::default()).await;
    let limits = Limits { messages: Some(0), ..Limits::default() };
    let (note, noted) = channel::<()>();
    let stored = Stored::new(move || note.send(()).unwrap());
    let full = queue.enqueue(Arrival { limits, stored, ..arrival("orders", [message(1)]) }).await;
    assert_eq!((full, noted.recv().is_err()), (Err(EnqueueError::Full(Quota::Messages)), true));
}
