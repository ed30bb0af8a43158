//! The queue does the same as a list in memory, whatever is done to it and in whatever order.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::super::{fixture::*, *};
use crate::delivery::message::{Entry, OrderingKey, State};

const NAMES: [&str; 3] = ["orders", "refunds", "alerts"];
const KEYS: [&str; 2] = ["disk", "cpu"];
const KEPT: i64 = 60;

#[derive(Clone, Debug)]
enum Step {
    Enqueue(Post),
    /// Two posts and a settlement between them, in one commit.
    Meet([Post; 2], Index, Outcome),
    Claim {
        endpoint: Index,
        limit: usize,
    },
    Settle {
        claim: Index,
        outcome: Outcome,
    },
    GiveUp {
        claim: Index,
    },
    Release {
        endpoint: Index,
    },
    Bury {
        endpoint: Index,
    },
    Replay {
        message: Index,
        endpoint: Index,
    },
    Discard {
        message: Index,
    },
    Prune,
    Wait(i64),
    Reopen,
    PowerFailure,
}

#[derive(Clone, Debug)]
struct Post {
    endpoint: Index,
    keys: Vec<Option<Index>>,
    held: bool,
}

fn posts() -> impl Strategy<Value = Post> {
    (any::<Index>(), vec(option::of(any::<Index>()), 1..4), prop::bool::weighted(0.1))
        .prop_map(|(endpoint, keys, held)| Post { endpoint, keys, held })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Delivered),
        // The time is made later by the model's clock.
        3 => (0_i64..40).prop_map(|later| Outcome::Retry { at: at(later) }),
        2 => Just(Outcome::DeadLetter("Rejected".into())),
        1 => Just(Outcome::Hold),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        6 => posts().prop_map(Step::Enqueue),
        4 => ([posts(), posts()], index(), outcomes())
            .prop_map(|(posts, claim, outcome)| Step::Meet(posts, claim, outcome)),
        6 => (index(), 1_usize..4).prop_map(|(endpoint, limit)| Step::Claim { endpoint, limit }),
        8 => (index(), outcomes()).prop_map(|(claim, outcome)| Step::Settle { claim, outcome }),
        1 => index().prop_map(|claim| Step::GiveUp { claim }),
        1 => index().prop_map(|endpoint| Step::Release { endpoint }),
        1 => index().prop_map(|endpoint| Step::Bury { endpoint }),
        3 => (index(), index()).prop_map(|(message, endpoint)| Step::Replay { message, endpoint }),
        1 => index().prop_map(|message| Step::Discard { message }),
        1 => Just(Step::Prune),
        4 => (1_i64..30).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => Just(Step::PowerFailure),
    ]
}

/// What is to be expected of a message.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    endpoint: &'static str,
    key: Option<OrderingKey>,
    /// When it was queued, among all.
    turn: u64,
    since: i64,
    state: State,
    attempts: u32,
}

/// A list in memory, and the queue that has to be like it.
struct Model {
    messages: BTreeMap<u32, Expected>,
    now: i64,
    turn: u64,
    next: u32,
    claims: Vec<(u32, u64, Claimed)>,
    platter: Platter,
    queue: Embedded,
}

fn name(index: Index) -> &'static str {
    NAMES[index.index(NAMES.len())]
}

const RETENTION: Retention = Retention { age: Duration::from_millis(KEPT.unsigned_abs()), bytes: u64::MAX };

async fn open(platter: &Platter) -> Embedded {
    Embedded::open_saving(platter.clone(), RETENTION, UNSAVED).await.unwrap()
}

impl Model {
    async fn new() -> Self {
        let platter = Platter::default();
        let queue = open(&platter).await;
        Self { messages: BTreeMap::new(), now: 0, turn: 0, next: 0, claims: Vec::new(), platter, queue }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue(post) => {
                let arrival = self.post(&post);
                self.queue.enqueue(arrival).await.unwrap();
            }
            Step::Meet(posts, claim, outcome) if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(claim.index(self.claims.len()));
                self.meet(&posts, claim, outcome).await;
            }
            Step::Claim { endpoint, limit } => self.claim(name(endpoint), limit).await,
            Step::Settle { claim, outcome } if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(claim.index(self.claims.len()));
                self.settle(claim, outcome).await;
            }
            Step::GiveUp { claim } if !self.claims.is_empty() => {
                self.claims.swap_remove(claim.index(self.claims.len()));
            }
            Step::Release { endpoint } => self.release(name(endpoint)).await,
            Step::Bury { endpoint } => self.bury(name(endpoint)).await,
            Step::Replay { message, endpoint } if !self.messages.is_empty() => {
                let number = *message.get(&self.messages.keys().collect::<Vec<_>>());
                self.replay(*number, name(endpoint)).await;
            }
            Step::Discard { message } if !self.messages.is_empty() => {
                let number = **message.get(&self.messages.keys().collect::<Vec<_>>());
                assert_eq!(self.queue.discard(id(number)).await, Ok(true));
                self.messages.remove(&number);
            }
            Step::Prune => self.prune().await,
            Step::Wait(time) => self.now += time,
            Step::Reopen => {
                self.queue.close().await;
                self.reopen().await;
            }
            Step::PowerFailure => {
                self.platter = self.platter.after_power_failure();
                self.reopen().await;
            }
            _ => {}
        }
        self.advance();
        self.compare().await;
    }

    fn post(&mut self, Post { endpoint, keys, held }: &Post) -> Arrival {
        let (endpoint, held) = (name(*endpoint), *held);
        let mut messages = Vec::new();
        for key in keys {
            let key = key.map(|key| OrderingKey::of(KEYS[key.index(KEYS.len())]));
            let entry = if held { Entry::Held } else { Entry::Due };
            messages.push(NewMessage { key, entry, accepted_at: at(self.now), ..message(self.next) });
            let state = if held { State::Held } else { State::Due { at: at(self.now) } };
            let state = if key.is_some() && !held { State::Waiting } else { state };
            let expected = Expected { endpoint, key, turn: self.turn, since: self.now, state, attempts: 0 };
            self.messages.insert(self.next, expected);
            (self.next, self.turn) = (self.next + 1, self.turn + 1);
        }
        arrival(endpoint, messages)
    }

    async fn meet(&mut self, posts: &[Post; 2], claim: (u32, u64, Claimed), outcome: Outcome) {
        let first = self.post(&posts[0]);
        let (settlement, expected) = self.outcome(claim, outcome);
        let second = self.post(&posts[1]);
        let queue = &self.queue;
        let (before, let_go) = held_up(queue);
        let (before, first, settled, second, ()) = futures::join!(
            before,
            queue.enqueue(first),
            queue.settle(vec![settlement], at(self.now)),
            queue.enqueue(second),
            async { drop(let_go) },
        );
        assert_eq!((before, first, settled, second), (Ok(true), Ok(()), Ok(vec![expected]), Ok(())));
    }

    async fn claim(&mut self, endpoint: &'static str, limit: usize) {
        let claimed = |number| self.claims.iter().any(|(of, turn, _)| (*of, *turn) == number);
        let mut due: Vec<(Timestamp, u64, u32)> = Vec::new();
        for (number, message) in self.messages.iter().filter(|(_, message)| message.endpoint == endpoint) {
            if let State::Due { at } = message.state
                && !claimed((*number, message.turn))
            {
                due.push((at, message.turn, *number));
            }
        }
        due.sort_unstable();
        assert_eq!(
            self.queue.next_due(&super::super::fixture::endpoint(endpoint)).await,
            Ok(due.first().map(|due| due.0))
        );
        due.retain(|(due, ..)| *due <= at(self.now));
        due.truncate(limit);
        let endpoint = super::super::fixture::endpoint(endpoint);
        let claimed = self.queue.claim(&endpoint, at(self.now), limit).await.unwrap();
        assert_eq!(ids(&claimed), due.iter().map(|due| id(due.2)).collect::<Vec<_>>());
        for ((_, turn, number), claimed) in due.into_iter().zip(claimed) {
            assert_eq!(claimed.content, content(number));
            self.claims.push((number, turn, claimed));
        }
    }

    async fn settle(&mut self, claim: (u32, u64, Claimed), outcome: Outcome) {
        let (settlement, expected) = self.outcome(claim, outcome);
        assert_eq!(self.queue.settle(vec![settlement], at(self.now)).await, Ok(vec![expected]));
    }

    /// What is told the queue, and what it should say.
    fn outcome(&mut self, (number, turn, claimed): (u32, u64, Claimed), outcome: Outcome) -> (Settlement, Settled) {
        let outcome = match outcome {
            Outcome::Retry { at: later } => {
                Outcome::Retry { at: later + Duration::from_millis(self.now.unsigned_abs()) }
            }
            other => other,
        };
        let message = self.messages.get_mut(&number).filter(|message| {
            let phase = message.state.phase();
            message.turn == turn && (!phase.is_end() || (phase == Phase::DeadLetter && outcome == Outcome::Delivered))
        });
        let expected = if message.is_some() { Settled::Applied } else { Settled::Superseded };
        if let Some(message) = message {
            message.attempts += 1;
            message.state = match outcome.clone() {
                Outcome::Delivered => State::Delivered { at: at(self.now) },
                Outcome::Retry { at } => State::Due { at },
                Outcome::DeadLetter(reason) => State::DeadLetter { at: at(self.now), reason },
                Outcome::Hold => State::Held,
            };
        }
        (settlement(claimed, outcome, self.now), expected)
    }

    async fn release(&mut self, endpoint: &'static str) {
        let mut released = 0;
        for message in self.messages.values_mut() {
            if message.endpoint == endpoint && message.state == State::Held {
                let due = State::Due { at: at(message.since) };
                message.state = if message.key.is_some() { State::Waiting } else { due };
                released += 1;
            }
        }
        assert_eq!(self.queue.release(&super::super::fixture::endpoint(endpoint)).await, Ok(released));
    }

    async fn bury(&mut self, endpoint: &'static str) {
        let mut buried = 0;
        for message in self.messages.values_mut() {
            if message.endpoint == endpoint && !message.state.phase().is_end() {
                message.state = State::DeadLetter { at: at(self.now), reason: "EndpointDeleted".into() };
                buried += 1;
            }
        }
        let endpoint = super::super::fixture::endpoint(endpoint);
        assert_eq!(self.queue.bury(&endpoint, "EndpointDeleted".into(), at(self.now)).await, Ok(buried));
    }

    async fn replay(&mut self, number: u32, endpoint: &'static str) {
        let message = self.messages.get_mut(&number).unwrap();
        if message.state.phase().is_end() {
            (message.endpoint, message.turn, message.since, message.attempts) = (endpoint, self.turn, self.now, 0);
            self.turn += 1;
        }
        message.state = State::Waiting;
        if self.messages[&number].key.is_none() || self.first(number) {
            self.messages.get_mut(&number).unwrap().state = State::Due { at: at(self.now) };
        }
        let phase = self.messages[&number].state.phase();
        let endpoint = super::super::fixture::endpoint(endpoint);
        assert_eq!(self.queue.replay(id(number), endpoint, at(self.now)).await, Ok(Some(phase)));
    }

    async fn prune(&mut self) {
        let before = self.messages.len();
        let until = at(self.now - KEPT);
        self.messages.retain(|_, message| match message.state {
            State::Delivered { at } | State::DeadLetter { at, .. } => at > until,
            _ => true,
        });
        let expired = (before - self.messages.len()) as u64;
        assert_eq!(self.queue.prune(at(self.now)).await, Ok(Pruned { expired, ..Pruned::default() }));
    }

    async fn reopen(&mut self) {
        self.claims.clear();
        self.queue = open(&self.platter).await;
    }

    /// Whether no earlier message of its key and endpoint is queued.
    fn first(&self, number: u32) -> bool {
        let message = &self.messages[&number];
        !self.messages.values().any(|other| {
            let alike = (other.endpoint, other.key) == (message.endpoint, message.key);
            alike && other.turn < message.turn && !other.state.phase().is_end()
        })
    }

    /// The first message of a key no longer waits.
    fn advance(&mut self) {
        let waiting = |message: &Expected| message.state == State::Waiting;
        let numbers: Vec<u32> =
            self.messages.iter().filter(|(_, message)| waiting(message)).map(|(number, _)| *number).collect();
        for number in numbers {
            if self.first(number) {
                let message = self.messages.get_mut(&number).unwrap();
                message.state = State::Due { at: at(message.since) };
            }
        }
    }

    async fn compare(&self) {
        let mut query = Query { limit: 3, ..Query::default() };
        let mut listed = BTreeMap::new();
        loop {
            let page = self.queue.list(query.clone()).await.unwrap();
            listed.extend(page.messages.into_iter().map(|message| (message.id, message)));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), self.messages.len());
        for (number, expected) in &self.messages {
            let Message { endpoint, state, attempts, .. } = &listed[&id(*number)];
            assert_eq!((&*endpoint.name, state, *attempts), (expected.endpoint, &expected.state, expected.attempts));
        }
        assert_eq!(contradictions(self.queue.shared()), [] as [Contradiction; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_is_like_a_list_in_memory(steps in vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.take(step).await;
            }
        });
    }
}
