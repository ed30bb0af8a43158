use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

use super::{
    super::{Amount, claims::Ticket},
    *,
};
use crate::delivery::message::{
    Attempt, Content, DuplicateKey, EndpointRef, Header, LOGGED_ATTEMPTS, MessageId, OrderingKey, State,
};

fn times() -> impl Strategy<Value = Timestamp> {
    (0..=253_402_207_200_000_i64).prop_map(|at| Timestamp::from_millisecond(at).unwrap())
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        times().prop_map(|at| State::Due { at }),
        Just(State::Waiting),
        Just(State::Held),
        (times(), ".{0,20}").prop_map(|(at, reason)| State::DeadLetter { at, reason: reason.as_str().into() }),
        times().prop_map(|at| State::Delivered { at }),
    ]
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let parts = (times(), ".{0,20}", option::of(1_u16..));
    parts.prop_map(|(at, outcome, status)| Attempt { at, outcome: outcome.as_str().into(), status })
}

prop_compose! {
    fn heads()(
        id in any::<[u8; 22]>(),
        accepted_at in times(),
        replayed_at in option::of(times()),
        body_bytes in 0_u64..1 << 60,
        key in option::of(any::<[u8; 16]>()),
        duplicate in option::of((".{0,20}", any::<[u8; 32]>())),
        state in states(),
        attempts in any::<u32>(),
        log in vec(attempts(), 0..=LOGGED_ATTEMPTS),
    ) -> Head {
        let duplicate = duplicate.map(|(id, hash)| DuplicateKey { id: id.into(), hash });
        let (id, key) = (MessageId::from_bytes(id), key.map(OrderingKey));
        Head { id, accepted_at, replayed_at, body_bytes, key, duplicate, state, attempts, log }
    }
}

fn contents() -> impl Strategy<Value = Content> {
    let header = (".{0,60}", vec(any::<u8>(), 0..200)).prop_map(|(name, value)| (name.into_boxed_str(), value));
    (vec(header, 0..12), vec(any::<u8>(), 0..3_000)).prop_map(|(headers, body)| {
        let headers = headers.into_iter().map(|(name, value)| Header { name, value: value.into() });
        Content::new(headers.collect(), Bytes::from(body))
    })
}

proptest! {
    #[test]
    fn a_head_is_read_as_it_was_written(head in heads()) {
        let mut row = b"of the row before".to_vec();
        write_head(&head, &mut row);
        prop_assert_eq!(read_head(&row), Ok(head));
        for end in 0..row.len() {
            prop_assert_eq!(read_head(&row[..end]), Err(Damaged));
        }
        row.push(0);
        prop_assert_eq!(read_head(&row), Err(Damaged));
    }

    #[test]
    fn a_content_is_read_as_it_was_written(content in contents(), ticket in any::<(u32, u64)>()) {
        let (ticket, mut row) = (Ticket::from(ticket), b"of the row before".to_vec());
        write_content(ticket, &content, &mut row);
        prop_assert_eq!((read_ticket(&row), read_content(&row)), (Ok(ticket), Ok(content)));
    }

    #[test]
    fn an_endpoint_is_read_as_it_was_written(texts in any::<[String; 3]>(), figures in any::<[u64; 6]>()) {
        let [namespace, name, uid] = texts.map(Into::into);
        let endpoint = EndpointRef { namespace, name, uid };
        let amount = |place: usize| Amount { messages: figures[place], bytes: figures[place + 1] };
        let amounts = Amounts { queued: amount(0), dead_letters: amount(2), delivered: amount(4) };
        let mut row = Vec::new();
        write_endpoint(&endpoint, &amounts, &mut row);
        prop_assert_eq!(read_endpoint(&row), Ok((endpoint, amounts)));
        row.push(0);
        prop_assert_eq!(read_endpoint(&row), Err(Damaged));
    }

    #[test]
    fn other_bytes_are_damage_and_nothing_worse(row in vec(any::<u8>(), 0..400)) {
        let _ = (read_head(&row), read_content(&row), read_ticket(&row), read_endpoint(&row));
    }
}

#[test]
fn times_out_of_range_are_the_nearest_ones() {
    assert_eq!(milliseconds(Timestamp::from_second(-5).unwrap()), 0);
    assert_eq!(timestamp(u64::MAX), Timestamp::MAX);
    assert_eq!(timestamp(milliseconds(Timestamp::MAX)).as_second(), Timestamp::MAX.as_second());
}
