//! Flow 3, pure: what becomes of a message after an attempt, and when it is tried again.

use core::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};

use super::verdict::{DeadReason, Outcome, Verdict};
use crate::record::endpoint::Retry;

/// Somebody has to mend a rejected credential, and calling often meanwhile gets accounts locked.
const CREDENTIAL_PAUSE: Duration = Duration::from_mins(15);

/// What counts for one message after one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Attempts so far, the one that just ended included.
    pub attempts: u32,
    /// From then on the message is a dead letter. Absent: beyond all time.
    pub expires_at: Option<Timestamp>,
    /// The Webhook's policy.
    pub retry: Retry,
}

impl Standing {
    /// What ends the message whatever an attempt would bring.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> Option<DeadReason> {
        if self.expires_at.is_some_and(|end| end <= now) {
            return Some(DeadReason::Expired);
        }
        (self.attempts >= self.retry.attempts.max(1)).then_some(DeadReason::AttemptsExhausted)
    }
}

/// When a receiver wants to be called again: `Retry-After`, RFC 9110, section 10.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this time.
    Pause(Duration),
    /// From this time on.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header's value: seconds, or a date of HTTP.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Pause(Duration::from_secs(value.parse().unwrap_or(u64::MAX))));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        Timestamp::try_from(date).ok().map(Self::At)
    }

    fn after(self, now: Timestamp) -> Duration {
        match self {
            Self::Pause(pause) => pause,
            Self::At(then) => then.duration_since(now).try_into().unwrap_or_default(),
        }
    }
}

/// Judges an attempt that ended at `now`. `random` is from 0 up to, not including, 1.
///
/// A pause that would outlast the message ends with it: then it is a dead letter for being [`DeadReason::Expired`].
#[must_use]
pub fn judge(
    standing: &Standing,
    outcome: Outcome,
    retry_after: Option<RetryAfter>,
    now: Timestamp,
    random: f64,
) -> Verdict {
    match outcome {
        Outcome::Delivered => return Verdict::Delivered,
        Outcome::ReceiverGone => return Verdict::DeadLetter(DeadReason::ReceiverGone),
        Outcome::Rejected => return Verdict::DeadLetter(DeadReason::Rejected),
        Outcome::CredentialRejected | Outcome::Throttled | Outcome::ServerError | Outcome::Failed(_) => {}
    }
    if let Some(reason) = standing.ended(now) {
        return Verdict::DeadLetter(reason);
    }
    let asked = retry_after.map_or(Duration::ZERO, |wish| wish.after(now));
    let pause = pause(standing, outcome, random).max(asked.min(longest(&standing.retry)));
    let then = SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok());
    let then = then.unwrap_or(Timestamp::MAX);
    Verdict::RetryAt(standing.expires_at.map_or(then, |end| end.min(then)))
}

/// Exponential with full jitter, so that what failed together does not come back together. After a rejected credential half of the
/// pause is certain.
fn pause(standing: &Standing, outcome: Outcome, random: f64) -> Duration {
    // `clamp` would let what is not a number pass, which has no product.
    let random = if (0.0..1.0).contains(&random) { random } else { 0.5 };
    let initial = Duration::from_secs(standing.retry.initial_delay_seconds.into());
    if outcome == Outcome::CredentialRejected {
        bound(standing, initial.max(CREDENTIAL_PAUSE)).mul_f64(0.5 + random / 2.0)
    } else {
        bound(standing, initial).mul_f64(random)
    }
}

/// The upper bound of the pause after so many attempts.
fn bound(standing: &Standing, initial: Duration) -> Duration {
    let longest = longest(&standing.retry);
    let delays = ExponentialBuilder::new().with_min_delay(initial.min(longest)).with_max_delay(longest);
    let earlier = usize::try_from(standing.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    // After 64 doublings every bound is the longest one.
    delays.without_max_times().build().nth(earlier.min(64)).unwrap_or(longest)
}

fn longest(retry: &Retry) -> Duration {
    Duration::from_secs(retry.max_delay_seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::verdict::FailureKind;

    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn standing(attempts: u32) -> Standing {
        let retry = Retry { attempts: 10, initial_delay_seconds: 5, max_delay_seconds: 36_000 };
        Standing { attempts, expires_at: Some(at(NOW + 259_200)), retry }
    }

    fn after(attempts: u32, status: u16, retry_after: Option<&str>, random: f64) -> Verdict {
        let retry_after = retry_after.map(|text| RetryAfter::parse(text).unwrap());
        judge(&standing(attempts), Outcome::of_status(status), retry_after, at(NOW), random)
    }

    /// Seconds until the next attempt.
    fn pause_of(verdict: Verdict) -> f64 {
        let Verdict::RetryAt(then) = verdict else { panic!("{verdict:?}") };
        then.duration_since(at(NOW)).as_secs_f64()
    }

    #[track_caller]
    fn assert_pause(verdict: Verdict, seconds: f64) {
        let found = pause_of(verdict);
        assert!((found - seconds).abs() < 0.01, "{found} instead of {seconds}");
    }

    #[test]
    fn each_status_has_its_verdict() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(after(1, status, None, 0.5), Verdict::Delivered, "{status}");
        }
        for status in
            [100, 101, 199, 300, 301, 302, 303, 304, 307, 308, 400, 404, 405, 409, 413, 415, 422, 425, 451, 499, 600]
        {
            assert_eq!(after(1, status, None, 0.5), Verdict::DeadLetter(DeadReason::Rejected), "{status}");
        }
        assert_eq!(after(1, 410, None, 0.5), Verdict::DeadLetter(DeadReason::ReceiverGone));
        for status in [401, 403, 408, 429, 500, 501, 502, 503, 504, 599] {
            assert!(matches!(after(1, status, None, 0.5), Verdict::RetryAt(_)), "{status}");
        }
        let failed = judge(&standing(1), Outcome::Failed(FailureKind::TimedOut), None, at(NOW), 0.5);
        assert_pause(failed, 2.5);
    }

    #[test]
    fn pauses_double_up_to_the_longest_with_full_jitter() {
        for (attempts, bound) in [(1, 5.0), (2, 10.0), (3, 20.0), (9, 1280.0)] {
            for random in [0.0, 0.25, 0.999] {
                assert_pause(after(attempts, 500, None, random), bound * random);
            }
        }
        let retry = Retry { attempts: u32::MAX, ..standing(1).retry };
        let many = Standing { attempts: 1_000_000, retry, expires_at: None };
        assert_pause(judge(&many, Outcome::ServerError, None, at(NOW), 0.5), 18_000.0);
        let retry = Retry { attempts: 3, initial_delay_seconds: 60, max_delay_seconds: 10 };
        let odd = Standing { attempts: 1, retry, expires_at: None };
        assert_pause(judge(&odd, Outcome::ServerError, None, at(NOW), 0.5), 5.0);
    }

    #[test]
    fn retry_after_counts_and_is_capped() {
        assert_pause(after(1, 429, Some("120"), 0.5), 120.0);
        assert_pause(after(1, 503, Some("120"), 0.5), 120.0);
        assert_pause(after(9, 503, Some("120"), 0.5), 640.0);
        assert_pause(after(1, 429, Some("99999999999999999999999"), 0.5), 36_000.0);
        let date = httpdate::fmt_http_date(at(NOW + 300).into());
        assert_pause(after(1, 429, Some(&date), 0.5), 300.0);
        let past = httpdate::fmt_http_date(at(NOW - 300).into());
        assert_pause(after(1, 429, Some(&past), 0.5), 2.5);
        assert_eq!(after(1, 400, Some("120"), 0.5), Verdict::DeadLetter(DeadReason::Rejected));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(RetryAfter::parse(" 7 "), Some(RetryAfter::Pause(Duration::from_secs(7))));
        let date = Some(RetryAfter::At("2015-10-21T07:28:00Z".parse().unwrap()));
        assert_eq!(RetryAfter::parse("Wed, 21 Oct 2015 07:28:00 GMT"), date);
        for text in ["", "-1", "+1", "1.5", "soon", "1 minute", "Wed, 99 Oct 2015 07:28:00 GMT", "\u{663}"] {
            assert_eq!(RetryAfter::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_rejected_credential_is_tried_again_after_long() {
        for status in [401, 403] {
            assert_pause(after(1, status, None, 0.0), 450.0);
            assert_pause(after(1, status, None, 0.999_999), 900.0);
            assert_pause(after(2, status, None, 0.0), 900.0);
            assert_pause(after(9, status, None, 0.0), 18_000.0);
        }
    }

    #[test]
    fn the_last_attempt_ends_the_message() {
        let exhausted = Verdict::DeadLetter(DeadReason::AttemptsExhausted);
        assert!(matches!(after(9, 500, None, 0.5), Verdict::RetryAt(_)));
        for status in [401, 429, 500] {
            assert_eq!(after(10, status, Some("1"), 0.5), exhausted, "{status}");
            assert_eq!(after(11, status, None, 0.5), exhausted, "{status}");
        }
        assert_eq!(after(10, 200, None, 0.5), Verdict::Delivered);
        assert_eq!(after(10, 410, None, 0.5), Verdict::DeadLetter(DeadReason::ReceiverGone));
    }

    #[test]
    fn no_attempt_comes_after_the_end() {
        let ending = |second| Standing { expires_at: Some(at(second)), ..standing(1) };
        let judged =
            |standing| judge(&standing, Outcome::ServerError, Some(RetryAfter::Pause(Duration::MAX)), at(NOW), 0.5);
        assert_eq!(judged(ending(NOW)), Verdict::DeadLetter(DeadReason::Expired));
        assert_eq!(judged(ending(NOW - 1)), Verdict::DeadLetter(DeadReason::Expired));
        assert_eq!(judged(ending(NOW + 7)), Verdict::RetryAt(at(NOW + 7)), "to be found expired then");
        assert_eq!(ending(NOW + 7).ended(at(NOW + 6)), None);
        assert_eq!(ending(NOW + 7).ended(at(NOW + 7)), Some(DeadReason::Expired));
        let delivered = judge(&ending(NOW), Outcome::Delivered, None, at(NOW), 0.5);
        assert_eq!(delivered, Verdict::Delivered);
    }

    #[test]
    fn randomness_outside_its_range_does_no_harm() {
        for random in [-1.0, 2.0, f64::INFINITY] {
            assert!(pause_of(after(1, 500, None, random)) <= 5.0);
        }
        assert!(pause_of(after(1, 500, None, f64::NAN)) <= 5.0);
    }
}
