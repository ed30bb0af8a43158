//! Two steps, bounds, and a model that any sequence of calls is held against.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const LIMITS: Limits =
    Limits { per_endpoint: 4, total: 6, age: SignedDuration::from_secs(100), claim: SignedDuration::from_secs(10) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(id: &str) -> Key {
    Key::new(id, &body_hash(b"body"))
}

fn of(uid: &str) -> Endpoint<'_> {
    Endpoint { namespace: "ns", uid }
}

fn claimed(dedupe: &mut Dedupe<u32>, endpoint: &str, id: &str, second: i64) -> Ticket {
    match dedupe.claim(of(endpoint), key(id), at(second)) {
        Claim::New(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

/// As the queue does at start.
fn stored(dedupe: &mut Dedupe<u32>, endpoint: &str, id: &str, message: u32, second: i64) {
    dedupe.remember(of(endpoint), key(id), message, at(second));
}

fn is_known(dedupe: &mut Dedupe<u32>, endpoint: &str, id: &str, second: i64) -> bool {
    match dedupe.claim(of(endpoint), key(id), at(second)) {
        Claim::Duplicate(_) => true,
        Claim::New(ticket) => {
            dedupe.release(ticket);
            false
        }
        Claim::Pending => panic!("it is being stored"),
    }
}

#[test]
fn a_repeat_is_told_by_id_and_body_together() {
    let (one, other) = (body_hash(b"one"), body_hash(b"other"));
    assert_eq!(Key::new("id", &one), Key::new("id", &body_hash(b"one")));
    assert_ne!(Key::new("id", &one), Key::new("id", &other));
    assert_ne!(Key::new("id", &one), Key::new("di", &one));
}

#[test]
fn a_post_is_new_then_pending_then_a_duplicate() {
    let mut dedupe = Dedupe::new(LIMITS);
    let ticket = claimed(&mut dedupe, "hook", "a", 0);
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(1)), Claim::Pending);
    dedupe.commit(ticket, 7, at(2));
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(3)), Claim::Duplicate(7));
    assert!(matches!(dedupe.claim(of("hook"), key("b"), at(3)), Claim::New(_)));
}

#[test]
fn a_failed_write_lets_the_next_try() {
    let mut dedupe: Dedupe<u32> = Dedupe::new(LIMITS);
    let ticket = claimed(&mut dedupe, "hook", "a", 0);
    dedupe.release(ticket);
    assert!(dedupe.is_empty());
    assert!(matches!(dedupe.claim(of("hook"), key("a"), at(0)), Claim::New(_)));
}

#[test]
fn a_claim_whose_holder_is_gone_ends() {
    let mut dedupe = Dedupe::new(LIMITS);
    let late = claimed(&mut dedupe, "hook", "a", 0);
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(9)), Claim::Pending);
    let next = claimed(&mut dedupe, "hook", "a", 10);
    // It is no longer his to release.
    dedupe.release(late);
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(11)), Claim::Pending);
    dedupe.commit(next, 7, at(11));
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(12)), Claim::Duplicate(7));
}

#[test]
fn a_write_that_ends_late_counts_all_the_same() {
    let mut dedupe = Dedupe::new(LIMITS);
    let late = claimed(&mut dedupe, "hook", "a", 0);
    let next = claimed(&mut dedupe, "hook", "a", 10);
    dedupe.commit(late, 7, at(11));
    dedupe.release(next);
    assert_eq!(dedupe.claim(of("hook"), key("a"), at(12)), Claim::Duplicate(7));
}

#[test]
fn endpoints_know_nothing_of_each_other() {
    let mut dedupe = Dedupe::new(LIMITS);
    stored(&mut dedupe, "hook", "a", 1, 0);
    assert!(!is_known(&mut dedupe, "other", "a", 1));
    assert!(is_known(&mut dedupe, "hook", "a", 1));
}

#[test]
fn what_is_too_old_is_forgotten() {
    let mut dedupe = Dedupe::new(LIMITS);
    stored(&mut dedupe, "hook", "a", 1, 0);
    assert!(is_known(&mut dedupe, "hook", "a", 99));
    assert!(!is_known(&mut dedupe, "hook", "a", 100));
    stored(&mut dedupe, "idle", "a", 1, 100);
    stored(&mut dedupe, "busy", "a", 1, 150);
    assert!(is_known(&mut dedupe, "busy", "a", 200));
    assert_eq!((dedupe.len(), dedupe.endpoints.len()), (1, 1));
}

#[test]
fn the_oldest_go_first() {
    let mut dedupe = Dedupe::new(LIMITS);
    for (second, id) in [(3, "c"), (1, "a"), (2, "b"), (5, "e"), (4, "d")] {
        stored(&mut dedupe, "hook", id, 1, second);
    }
    assert_eq!(dedupe.len(), 4);
    assert!(!is_known(&mut dedupe, "hook", "a", 6));
    // "b" made room for the question.
    assert!(["c", "d", "e"].into_iter().all(|id| is_known(&mut dedupe, "hook", id, 6)));
}

#[test]
fn when_everything_is_full_the_oldest_of_all_goes() {
    let mut dedupe = Dedupe::new(LIMITS);
    for (endpoint, second) in [("one", 10), ("two", 0), ("three", 20)] {
        for step in 0..3_u32 {
            stored(&mut dedupe, endpoint, &step.to_string(), step, second + i64::from(step));
        }
    }
    assert_eq!(dedupe.len(), 6);
    assert_eq!(dedupe.endpoints["two"].entries.len(), 0);
}

#[test]
fn no_namespace_pushes_out_what_another_has() {
    let mut dedupe = Dedupe::new(LIMITS);
    let quiet = Endpoint { namespace: "quiet", uid: "quiet" };
    dedupe.remember(quiet, key("a"), 1, at(0));
    for step in 0..40_u32 {
        // Many endpoints do not help.
        let uid = format!("hook-{}", step % 5);
        dedupe.remember(
            Endpoint { namespace: "loud", uid: &uid },
            key(&step.to_string()),
            step,
            at(1 + i64::from(step)),
        );
    }
    assert_eq!(dedupe.len(), 6);
    assert_eq!(dedupe.claim(quiet, key("a"), at(50)), Claim::Duplicate(1));
}

#[test]
fn of_two_messages_with_one_key_the_latest_is_remembered() {
    for order in [[(1, 10), (2, 20)], [(2, 20), (1, 10)]] {
        let mut dedupe = Dedupe::new(LIMITS);
        for (message, second) in order {
            stored(&mut dedupe, "hook", "a", message, second);
        }
        assert_eq!(dedupe.claim(of("hook"), key("a"), at(109)), Claim::Duplicate(2));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u8, u8),
    Commit(prop::sample::Index),
    Release(prop::sample::Index),
    Remember(u8, u8, i64),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..6_u8).prop_map(|(endpoint, id)| Step::Claim(endpoint, id)),
        3 => any::<prop::sample::Index>().prop_map(Step::Commit),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => (0..3_u8, 0..6_u8, -50..50_i64).prop_map(|(endpoint, id, shift)| Step::Remember(endpoint, id, shift)),
        3 => (-5..60_i64).prop_map(Step::Wait),
    ]
}

/// Every entry is in both collections, and the count is theirs.
fn is_sound(dedupe: &Dedupe<u32>) -> bool {
    let consistent = |seen: &Seen<u32>| {
        let by_age: BTreeSet<_> = seen.entries.iter().map(|(key, entry)| (entry.at, *key)).collect();
        by_age == seen.by_age && seen.entries.len() <= dedupe.limits.per_endpoint
    };
    let counted: usize = dedupe.endpoints.values().map(|seen| seen.entries.len()).sum();
    dedupe.endpoints.values().all(consistent) && counted == dedupe.entries && counted <= dedupe.limits.total
}

/// Runs the steps; what is claimed is held against `stored`, which forgets nothing but by age. Without room enough, a message that was
/// forgotten can be followed by one that is older: then any that was stored under the key and is not too old will do.
fn run(limits: Limits, steps: Vec<Step>, exact: bool) -> Result<(), TestCaseError> {
    let mut dedupe = Dedupe::new(limits);
    let mut stored: HashMap<(u8, u8), (u32, i64)> = HashMap::new();
    let mut all: HashMap<u32, (u8, u8, i64)> = HashMap::new();
    let mut tickets: Vec<(u8, u8, Ticket)> = Vec::new();
    let (mut now, mut message) = (1_000, 0);
    for step in steps {
        message += 1;
        match step {
            Step::Claim(endpoint, id) => {
                let known = stored.get(&(endpoint, id)).filter(|(_, since)| now - since < 100).map(|known| known.0);
                match dedupe.claim(of(&endpoint.to_string()), key(&id.to_string()), at(now)) {
                    Claim::New(ticket) => {
                        prop_assert!(!exact || known.is_none());
                        tickets.push((endpoint, id, ticket));
                    }
                    Claim::Duplicate(found) if exact => prop_assert_eq!(Some(found), known),
                    Claim::Duplicate(found) => {
                        let (owner, named, since) = all[&found];
                        prop_assert!((owner, named) == (endpoint, id) && now - since < 100);
                    }
                    Claim::Pending => prop_assert!(tickets.iter().any(|held| (held.0, held.1) == (endpoint, id))),
                }
            }
            Step::Commit(index) if !tickets.is_empty() => {
                let (endpoint, id, ticket) = tickets.swap_remove(index.index(tickets.len()));
                dedupe.commit(ticket, message, at(now));
                stored.insert((endpoint, id), (message, now));
                all.insert(message, (endpoint, id, now));
            }
            Step::Release(index) if !tickets.is_empty() => {
                dedupe.release(tickets.swap_remove(index.index(tickets.len())).2);
            }
            Step::Commit(_) | Step::Release(_) => {}
            Step::Remember(endpoint, id, shift) => {
                dedupe.remember(of(&endpoint.to_string()), key(&id.to_string()), message, at(now + shift));
                all.insert(message, (endpoint, id, now + shift));
                let known = stored.entry((endpoint, id)).or_insert((message, now + shift));
                if known.1 <= now + shift {
                    *known = (message, now + shift);
                }
            }
            Step::Wait(seconds) => now += seconds,
        }
        prop_assert!(is_sound(&dedupe));
    }
    Ok(())
}

proptest! {
    #[test]
    fn with_room_enough_every_repeat_is_found(steps in vec(step(), 0..80)) {
        // A clock that goes back could end what is not yet too old.
        let steps = steps.into_iter().map(|step| match step {
            Step::Wait(seconds) => Step::Wait(seconds.abs()),
            Step::Remember(endpoint, id, shift) => Step::Remember(endpoint, id, -shift.abs()),
            other => other,
        });
        run(Limits { per_endpoint: 100, total: 100, ..LIMITS }, steps.collect(), true)?;
    }

    #[test]
    fn the_bounds_hold_whatever_comes(steps in vec(step(), 0..80)) {
        run(LIMITS, steps, false)?;
    }
}
