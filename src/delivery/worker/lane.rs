//! Flow 3: what is known of one endpoint's deliveries: what waits here, how much is under way, and when to look again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    delivery::{attempt::Destination, message::EndpointRef, queue::Claimed, verdict::HoldReason},
    inbound::Endpoint,
    record::{
        InjectionRecord,
        endpoint::{Delivery, RateLimit},
    },
};

/// Messages that are claimed at once at most: their bodies are in memory.
const MOST: usize = 64;
/// Calls at once to a receiver of which nothing is known yet, where the endpoint allows as many.
const FIRST_WINDOW: usize = 8;

/// An endpoint's records at a moment: itself, and the credential that it names.
pub(super) type Seen = (Arc<Endpoint>, Option<Arc<InjectionRecord>>);

/// Where an endpoint's calls go, or why nowhere.
pub(super) type Where = Result<Arc<Destination>, HoldReason>;

/// One endpoint's deliveries.
pub(super) struct Lane {
    /// `<namespace>/<name>`.
    pub(super) path: Box<str>,
    /// What its last release was for; see [`super::upkeep`].
    pub(super) seen: Option<Seen>,
    /// Parsed once for all calls from one record.
    destination: Option<(Arc<Endpoint>, Where)>,
    waiting: VecDeque<Claimed>,
    in_flight: usize,
    max_in_flight: usize,
    /// Calls at once that its receiver has shown to be good for.
    window: usize,
    /// There may be more in the queue.
    ask: bool,
    fetching: bool,
    next_due: Option<Instant>,
    /// When calls were begun, as far as the rate counts them, oldest first.
    calls: VecDeque<Instant>,
    /// Until the rate allows another call.
    paused_until: Option<Instant>,
    /// It is among those whose turn comes.
    pub(super) has_turn: bool,
}

impl Lane {
    pub(super) fn new(endpoint: &EndpointRef) -> Self {
        Self {
            path: format!("{}/{}", endpoint.namespace, endpoint.name).into(),
            seen: None,
            destination: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            max_in_flight: 1,
            window: FIRST_WINDOW,
            ask: true,
            fetching: false,
            next_due: None,
            calls: VecDeque::new(),
            paused_until: None,
            has_turn: false,
        }
    }

    /// The next message, if the endpoint may be called now, while so many calls more may be made in all.
    pub(super) fn begin(&mut self, endpoint: &Endpoint, now: Instant, free: usize) -> Option<Claimed> {
        let Delivery { max_in_flight, rate_limit, .. } = &endpoint.record().delivery;
        self.max_in_flight = usize::try_from((*max_in_flight).max(1)).unwrap_or(usize::MAX);
        let may = self.in_flight < self.share(free) && !self.waiting.is_empty();
        if !may || self.paused_until.is_some_and(|until| until > now) || !self.rate_allows(*rate_limit, now) {
            return None;
        }
        self.in_flight += 1;
        self.waiting.pop_front()
    }

    /// Where its calls go, by the record that it has now.
    pub(super) fn destination(&mut self, endpoint: &Arc<Endpoint>) -> Where {
        let known = self.destination.as_ref().filter(|(of, _)| Arc::ptr_eq(of, endpoint));
        if let Some((_, destination)) = known {
            return destination.clone();
        }
        let destination = Destination::of(&endpoint.record().delivery.target).map(Arc::new);
        self.destination = Some((endpoint.clone(), destination.clone()));
        destination
    }

    /// Receivers that never answer must not take all calls that there are, however many they are. So nobody has more under way than
    /// its receiver has shown to be good for, nor than are free. Who is refused for that needs no waking: its own calls end, and
    /// then it has a turn.
    fn share(&self, free: usize) -> usize {
        self.max_in_flight.min(self.window).min(free)
    }

    /// In no stretch of the limit's time are there more calls than it says, wherever the stretch begins: a bucket that is
    /// full at first would let nearly twice as many through.
    fn rate_allows(&mut self, limit: Option<RateLimit>, now: Instant) -> bool {
        self.paused_until = None;
        let Some(RateLimit { requests: most @ 1.., per_seconds }) = limit else {
            self.calls.clear();
            return true;
        };
        let (most, time) = (usize::try_from(most).unwrap_or(usize::MAX), Duration::from_secs(per_seconds.into()));
        while self.calls.len() > most || self.calls.front().is_some_and(|first| now.duration_since(*first) >= time) {
            self.calls.pop_front();
        }
        if self.calls.len() < most {
            self.calls.push_back(now);
            return true;
        }
        self.paused_until = self.calls.front().map(|first| *first + time);
        false
    }

    /// Gives back what waits: somebody else says when it is its time again.
    pub(super) fn let_go(&mut self) {
        self.waiting.clear();
        self.ask = false;
        self.next_due = None;
    }

    /// There may be more in the queue than when it was last asked.
    pub(super) fn ask(&mut self) {
        self.ask = true;
    }

    pub(super) fn wants_more(&self) -> bool {
        self.ask && !self.fetching && self.waiting.len() < self.room()
    }

    /// Notes that the queue is being asked, and tells for how many.
    pub(super) fn fetching(&mut self) -> usize {
        self.fetching = true;
        self.ask = false;
        self.next_due = None;
        (2 * self.room()).saturating_sub(self.waiting.len()).max(1)
    }

    fn room(&self) -> usize {
        self.max_in_flight.min(self.window).min(MOST)
    }

    /// Takes over what the queue had. Tells when it will have more.
    pub(super) fn fetched(
        &mut self,
        claimed: Vec<Claimed>,
        next: Option<Timestamp>,
        now: Timestamp,
        instant: Instant,
    ) -> Option<Instant> {
        self.fetching = false;
        if !claimed.is_empty() && next.is_none() {
            self.ask = true;
        }
        self.waiting.extend(claimed);
        self.next_due = next.map(|next| instant + Duration::try_from(next.duration_since(now)).unwrap_or_default());
        self.next_due
    }

    pub(super) fn not_fetched(&mut self, again: Instant) -> Option<Instant> {
        self.fetching = false;
        self.next_due = Some(again);
        self.next_due
    }

    /// A call has ended: one more may be made at once next time, or half as many where it was the time limit that ended it.
    pub(super) fn ended(&mut self, late: bool) {
        self.in_flight -= 1;
        self.window = if late { (self.window / 2).max(1) } else { (self.window + 1).min(self.max_in_flight) };
    }

    /// Until when the rate allows no call.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn wake(&mut self, now: Instant) {
        if self.next_due.is_some_and(|due| due <= now) {
            self.next_due = None;
            self.ask = true;
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }

    /// Nothing is here and nothing under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && !self.fetching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> Lane {
        Lane::new(&EndpointRef { namespace: "ns".into(), name: "hook".into(), uid: "uid".into() })
    }

    /// Hands out calls to lanes in turn until no one may have more; how many each has.
    fn handed_out(most_in_flight: &[usize]) -> Vec<usize> {
        let lane_of = |most: &usize| Lane { max_in_flight: *most, window: *most, ..lane() };
        let mut lanes: Vec<Lane> = most_in_flight.iter().map(lane_of).collect();
        let mut free = 1024;
        while lanes.iter().any(|lane| lane.in_flight < lane.share(free)) {
            for lane in &mut lanes {
                if lane.in_flight < lane.share(free) {
                    lane.in_flight += 1;
                    free -= 1;
                }
            }
        }
        lanes.iter().map(|lane| lane.in_flight).collect()
    }

    #[test]
    fn as_much_is_left_as_anybody_has() {
        assert_eq!(handed_out(&[100]), [100], "there is enough");
        assert_eq!(handed_out(&[100; 5]), [100; 5]);
        for count in [10, 20, 50, 200, 500] {
            let has = handed_out(&vec![100; count]);
            let (most, free) = (has[0], 1024 - has.iter().sum::<usize>());
            assert!(has.iter().all(|one| most - one <= 1), "{has:?}");
            assert!(free + 1 >= most && most >= 1024 / (count + 1), "{count} have {most}, {free} are left");
        }
        assert_eq!(
            handed_out(&[8, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100])[0],
            8,
            "little is never refused"
        );
    }

    #[test]
    fn who_answers_gets_all_that_is_allowed_and_who_does_not_gets_one() {
        let mut lane = Lane { max_in_flight: 100, ..lane() };
        assert_eq!(lane.share(1024), FIRST_WINDOW);
        let mut end = |late, calls| {
            (0..calls).for_each(|_| {
                lane.in_flight += 1;
                lane.ended(late);
            });
            lane.share(1024)
        };
        assert_eq!([end(false, 12), end(false, 1000)], [20, 100]);
        assert_eq!([end(true, 1), end(true, 1), end(true, 100)], [50, 25, 1]);
        assert_eq!([end(false, 1), end(false, 200)], [2, 100], "it is back");
    }

    #[test]
    fn no_stretch_of_time_has_more_calls_than_the_limit() {
        let (mut lane, start) = (lane(), Instant::now());
        let limit = RateLimit { requests: 3, per_seconds: 2 };
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let began: Vec<u64> = (0..100).filter(|tenths| lane.rate_allows(Some(limit), at(*tenths))).collect();
        assert_eq!(began[..7], [0, 1, 2, 20, 21, 22, 40]);
        assert!(began.windows(4).all(|four| four[3] - four[0] >= 20), "{began:?}");
    }

    #[test]
    fn a_limit_that_is_edited_counts_at_once() {
        let (mut lane, now) = (lane(), Instant::now());
        let limit = |requests| Some(RateLimit { requests, per_seconds: 60 });
        assert!((0..5).all(|_| lane.rate_allows(limit(5), now)));
        assert!(!lane.rate_allows(limit(5), now));
        assert_eq!(lane.paused_until(), Some(now + Duration::from_mins(1)));
        assert!(!lane.rate_allows(limit(2), now), "fewer");
        assert!(lane.rate_allows(limit(3), now), "one more");
        assert!(lane.rate_allows(None, now) && lane.rate_allows(limit(0), now));
    }
}
