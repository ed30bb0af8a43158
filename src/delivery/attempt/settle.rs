//! Flow 3, pure: what a call means for its message, and what is kept of it.

use core::time::Duration;

use jiff::Timestamp;

use super::{
    Auth,
    prepare::Terms,
    send::{Answer, Failure, Sent},
};
use crate::delivery::{
    retry::judge,
    verdict::{Outcome, Verdict},
};

/// A call, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What becomes of the message.
    pub verdict: Verdict,
    /// What is kept of the call.
    pub attempt: Attempt,
}

/// What is kept of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// What it ended with.
    pub outcome: Outcome,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// With which credential it went out.
    pub auth: Auth,
    /// Why there was no answer.
    pub failure: Option<String>,
}

/// Judges a call that ended at `now`. `random` is from 0 up to, not including, 1.
#[must_use]
pub fn settle(sent: &Sent, now: Timestamp, random: f64) -> Settled {
    let Sent { answer, duration, terms: Terms { at, auth, standing } } = sent;
    let (outcome, status, retry_after, failure) = match answer {
        Ok(Answer { status, retry_after, snippet: _ }) => {
            (Outcome::of_status(*status), Some(*status), *retry_after, None)
        }
        Err(Failure { kind, detail }) => (Outcome::Failed(*kind), None, None, Some(detail.clone())),
    };
    Settled {
        verdict: judge(standing, outcome, retry_after, now, random),
        attempt: Attempt { at: *at, outcome, status, duration: *duration, auth: *auth, failure },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::{
            retry::{RetryAfter, Standing},
            verdict::{DeadReason, FailureKind},
        },
        record::endpoint::Retry,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sent(answer: Result<Answer, Failure>) -> Sent {
        let retry = Retry { attempts: 3, initial_delay_seconds: 10, max_delay_seconds: 100 };
        let standing = Standing { attempts: 1, expires_at: Some(at(10_000)), retry };
        let terms = Terms { at: at(1000), auth: Auth::Missing, standing };
        Sent { answer, duration: Duration::from_secs(2), terms }
    }

    fn answered(status: u16) -> Sent {
        let retry_after = Some(RetryAfter::Pause(Duration::from_secs(50)));
        sent(Ok(Answer { status, retry_after, snippet: "text".to_owned() }))
    }

    #[test]
    fn an_answer_is_judged_and_kept() {
        let Settled { verdict, attempt } = settle(&answered(204), at(1002), 0.5);
        assert_eq!(verdict, Verdict::Delivered);
        let expected = Attempt {
            at: at(1000),
            outcome: Outcome::Delivered,
            status: Some(204),
            duration: Duration::from_secs(2),
            auth: Auth::Missing,
            failure: None,
        };
        assert_eq!(attempt, expected);
        assert_eq!(settle(&answered(503), at(1002), 0.5).verdict, Verdict::RetryAt(at(1052)));
        assert_eq!(settle(&answered(410), at(1002), 0.5).verdict, Verdict::DeadLetter(DeadReason::ReceiverGone));
    }

    #[test]
    fn a_failure_is_kept_in_words_and_tried_again() {
        let failure = Failure { kind: FailureKind::NotConnected, detail: "no connection to example.net".to_owned() };
        let Settled { verdict, attempt } = settle(&sent(Err(failure)), at(1002), 0.5);
        assert_eq!(verdict, Verdict::RetryAt(at(1007)));
        assert_eq!((attempt.outcome.as_str(), attempt.status), ("NotConnected", None));
        assert_eq!(attempt.failure.as_deref(), Some("no connection to example.net"));
    }
}
