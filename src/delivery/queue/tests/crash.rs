//! At each sync of a run the power fails, and any part of what was not synced is written or not. What was acknowledged is
//! there afterwards; and where syncs lie, these tests see it.

use std::{collections::BTreeMap, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng};

use super::super::{
    committer::Saving,
    fixture::{Failure, *},
    *,
};

/// So that commits that save the state of the pages are among the others.
const OFTEN: Saving = Saving { idle: Duration::from_millis(1), from: 0 };
const RETENTION: Retention = Retention { age: Duration::from_millis(50), bytes: u64::MAX };
/// In how many ways each sync is torn; `SNAPHOOK_CRASH_WAYS` says another number.
const WAYS: u64 = 2;

/// What the queue has acknowledged, after so many syncs: the message is there, and in that phase if one is said.
type Acknowledged = BTreeMap<u32, Option<Phase>>;

/// Works with a queue, one step after the other, and notes what it acknowledged.
struct Run {
    queue: Embedded,
    platter: Platter,
    acknowledged: Acknowledged,
    /// By the number of syncs that were done when it came to be so.
    history: BTreeMap<u64, Acknowledged>,
    now: i64,
}

impl Run {
    async fn begin(platter: Platter, saving: Saving) -> Self {
        let queue = Embedded::open_saving(platter.clone(), RETENTION, saving).await.unwrap();
        Self { queue, platter, acknowledged: BTreeMap::new(), history: BTreeMap::new(), now: 100 }
    }

    /// From now on all of these may or may not have changed.
    fn touch(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.acknowledged.insert(*number, None);
        }
        self.note();
    }

    fn note(&mut self) {
        self.history.insert(self.platter.syncs(), self.acknowledged.clone());
    }

    fn acknowledge(&mut self, numbers: &[u32], phase: Phase) {
        for number in numbers {
            self.acknowledged.insert(*number, Some(phase));
        }
        self.note();
    }

    async fn enqueue(&mut self, numbers: std::ops::Range<u32>) {
        let messages =
            numbers.clone().map(|number| if number % 3 == 0 { keyed(number, "key") } else { message(number) });
        self.queue.enqueue(arrival("orders", messages)).await.unwrap();
        self.acknowledged.extend(numbers.map(|number| (number, None)));
        self.note();
    }

    /// Many callers at once.
    async fn enqueue_together(&mut self, numbers: std::ops::Range<u32>) {
        let callers = numbers.clone().map(|number| self.queue.enqueue(arrival("orders", [message(number)])));
        futures::future::try_join_all(callers).await.unwrap();
        self.acknowledged.extend(numbers.map(|number| (number, None)));
        self.note();
    }

    async fn deliver(&mut self, limit: usize) {
        let claimed = self.queue.claim(&endpoint("orders"), at(self.now), limit).await.unwrap();
        for (place, claimed) in claimed.into_iter().enumerate() {
            let number = number(claimed.message.id);
            let (outcome, phase) = match place % 4 {
                0 | 1 => (Outcome::Delivered, Phase::Delivered),
                2 => (Outcome::DeadLetter("Rejected".into()), Phase::DeadLetter),
                _ => (Outcome::Retry { at: at(self.now + 1) }, Phase::Due),
            };
            self.touch(&[number]);
            settle(&self.queue, claimed, outcome, self.now).await;
            self.acknowledge(&[number], phase);
        }
        self.now += 10;
    }

    async fn work(&mut self) {
        for round in 0..6_u32 {
            self.enqueue(round * 5..round * 5 + 1).await;
            self.enqueue(round * 5 + 1..round * 5 + 5).await;
            self.enqueue_together(100 + round * 8..108 + round * 8).await;
            self.deliver(4).await;
        }
        let dead = *self.acknowledged.iter().find(|(_, phase)| **phase == Some(Phase::DeadLetter)).unwrap().0;
        self.touch(&[dead]);
        self.queue.replay(id(dead), endpoint("others"), at(self.now)).await.unwrap();
        self.acknowledge(&[dead], Phase::Due);
        let all: Vec<u32> = self.acknowledged.keys().copied().filter(|number| *number != dead).collect();
        self.touch(&all);
        self.queue.bury(&endpoint("orders"), "EndpointDeleted".into(), at(self.now)).await.unwrap();
        // Those that go may be gone from now on.
        self.acknowledged.retain(|number, _| *number == dead);
        self.note();
        self.now += 1_000;
        self.queue.prune(at(self.now)).await.unwrap();
        self.enqueue(180..184).await;
    }

    /// What had to be there at a sync.
    fn at(&self, syncs: u64) -> Acknowledged {
        self.history.range(..=syncs).next_back().map(|(_, acknowledged)| acknowledged.clone()).unwrap_or_default()
    }
}

fn number(id: MessageId) -> u32 {
    (0..200).find(|number| self::id(*number) == id).unwrap()
}

/// What is missing or wrong after a start on what a crash left.
async fn losses(left: &Platter, acknowledged: &Acknowledged) -> Vec<String> {
    let queue = match Embedded::open_saving(left.clone(), RETENTION, UNSAVED).await {
        Ok(queue) => queue,
        Err(error) => return vec![error.to_string()],
    };
    let mut losses = contradictions(queue.shared());
    for (number, phase) in acknowledged {
        let (found, kept) = (queue.find(id(*number)).await, queue.content(id(*number)).await);
        match found.ok().flatten() {
            Some(found) if phase.is_none_or(|phase| found.state.phase() == phase) => {}
            found => losses.push(format!("{number} should be {phase:?}, and is {found:?}")),
        }
        if kept != Ok(Some(content(*number))) {
            losses.push(format!("{number} says something else"));
        }
    }
    if let Err(Unavailable) = queue.enqueue(arrival("later", [message(190)])).await.map_err(|_| Unavailable) {
        losses.push("nothing can be stored".to_owned());
    }
    losses
}

/// What is lost by crashes at all syncs of a run, in several ways each.
async fn crash_everywhere(run: &Run, ways: u64) -> (usize, Vec<String>) {
    let moments = run.platter.moments();
    let mut found = Vec::new();
    for moment in &moments {
        let acknowledged = run.at(moment.number);
        let mut left = vec![moment.nothing_written(), moment.everything_written()];
        left.extend(
            (0..ways).map(|way| moment.something_written(&mut StdRng::seed_from_u64(moment.number * 97 + way))),
        );
        for (way, left) in left.iter().enumerate() {
            let losses = losses(left, &acknowledged).await;
            found.extend(losses.into_iter().map(|loss| format!("sync {}, way {way}: {loss}", moment.number)));
        }
    }
    (moments.len(), found)
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_at_any_sync() {
    let platter = Platter::default();
    platter.record();
    let mut run = Run::begin(platter, OFTEN).await;
    run.work().await;
    let ways = std::env::var("SNAPHOOK_CRASH_WAYS").map_or(WAYS, |ways| ways.parse().unwrap());
    let (moments, losses) = crash_everywhere(&run, ways).await;
    assert!(moments > 40, "{moments}");
    assert_eq!(losses, [] as [String; 0]);
}

#[tokio::test]
async fn these_tests_see_it_where_syncs_do_nothing() {
    let platter = Platter::default();
    let mut run = Run::begin(platter.clone(), OFTEN).await;
    platter.pretend();
    platter.record();
    run.work().await;
    let (_, losses) = crash_everywhere(&run, 1).await;
    assert!(losses.len() > 10, "{losses:?}");
}

#[tokio::test]
async fn what_a_failed_sync_left_in_the_cache_is_not_built_upon() {
    let losses = after_failed_syncs(Platter::default).await;
    assert_eq!(losses, [] as [String; 0]);
}

#[tokio::test]
async fn these_tests_see_it_where_it_is() {
    let losses = after_failed_syncs(|| {
        let platter = Platter::default();
        platter.remember();
        platter
    });
    assert!(!losses.await.is_empty());
}

/// A sync fails, the queue goes on by itself, and later the power fails.
async fn after_failed_syncs(platter: impl Fn() -> Platter) -> Vec<String> {
    let mut found = Vec::new();
    for before in [1, 2, 3, 12, 23, 34, 45] {
        let platter = platter();
        let mut run = Run::begin(platter.clone(), UNSAVED).await;
        run.enqueue(0..before).await;
        platter.fail(Failure::SyncOnce);
        // So little that the file need not grow: that has a sync of its own.
        let lost = arrival("orders", (60..62).map(message));
        assert_eq!(run.queue.enqueue(lost).await, Err(EnqueueError::Unavailable));
        let mut health = run.queue.health();
        for closed in [true, false] {
            health.wait_for(|health| (*health != Health::Open) == closed).await.unwrap();
        }
        run.enqueue(90..95).await;
        found.extend(losses(&platter.after_power_failure(), &run.acknowledged).await);
    }
    found
}
