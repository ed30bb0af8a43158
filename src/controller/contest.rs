//! Flow 1: somebody else keeps rewriting our Secret: after three rewrites in a minute we say who it is, and stop for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_mins(1);
const TRUCE: Duration = Duration::from_mins(5);
const REWRITES: usize = 3;

/// Rewrites of our Secrets by others, by namespace and name of the Secret.
#[derive(Default)]
pub struct Contests(Mutex<HashMap<(String, String), Contest>>);

struct Contest {
    rival: String,
    rewrites: Vec<Instant>,
}

impl Contests {
    /// Notes that we are about to undo a rewrite.
    pub fn note(&self, namespace: &str, name: &str, rival: &str) {
        self.note_at((namespace, name), rival, Instant::now());
    }

    /// The field manager that we no longer fight.
    #[must_use]
    pub fn winner(&self, namespace: &str, name: &str) -> Option<String> {
        self.winner_at((namespace, name), Instant::now())
    }

    fn note_at(&self, (namespace, name): (&str, &str), rival: &str, now: Instant) {
        let mut contests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        contests.retain(|_, contest| contest.rewrites.iter().any(|moment| now.duration_since(*moment) < TRUCE));
        let secret = (namespace.to_owned(), name.to_owned());
        let contest = contests.entry(secret).or_insert_with(|| Contest { rival: String::new(), rewrites: Vec::new() });
        rival.clone_into(&mut contest.rival);
        contest.rewrites.retain(|moment| now.duration_since(*moment) < WINDOW);
        contest.rewrites.push(now);
    }

    fn winner_at(&self, (namespace, name): (&str, &str), now: Instant) -> Option<String> {
        let contests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let contest = contests.get(&(namespace.to_owned(), name.to_owned()))?;
        let fresh = contest.rewrites.last().is_some_and(|moment| now.duration_since(*moment) < TRUCE);
        (fresh && contest.rewrites.len() >= REWRITES).then(|| contest.rival.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: (&str, &str) = ("team", "app-credential");

    #[test]
    fn three_rewrites_in_a_minute_end_the_fight_for_a_while() {
        let (contests, start) = (Contests::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        contests.note_at(SECRET, "other", at(0));
        contests.note_at(SECRET, "other", at(10));
        assert_eq!(contests.winner_at(SECRET, at(10)), None);
        contests.note_at(SECRET, "other", at(20));
        assert_eq!(contests.winner_at(SECRET, at(20)).as_deref(), Some("other"));
        assert_eq!(contests.winner_at(("team", "another"), at(20)), None);
        assert_eq!(contests.winner_at(SECRET, at(321)), None);
    }

    #[test]
    fn rare_rewrites_are_undone_for_ever() {
        let (contests, start) = (Contests::default(), Instant::now());
        for minute in 0..10 {
            let now = start + Duration::from_secs(61 * minute);
            contests.note_at(SECRET, "other", now);
            assert_eq!(contests.winner_at(SECRET, now), None);
        }
    }
}
