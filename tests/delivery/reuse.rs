//! Connections are kept for later calls, unless that could mix answers up.

use std::time::Duration;

use crate::{
    call::{answer, egress_to, endpoint},
    receiver::{OK, Receiver},
};

#[tokio::test]
async fn a_second_call_takes_the_first_ones_connection() {
    let receiver = Receiver::answering(OK);
    let egress = egress_to(&[receiver.address]);
    for path in ["/a", "/b?c", "/a"] {
        assert_eq!(answer(&egress, &endpoint(receiver.url(path), |_| {})).await.status, 200);
    }
    let connections: Vec<_> = receiver.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_connection_with_an_unread_rest_is_not_used_again() {
    let receiver = Receiver::start(|_, wire| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 8 << 20);
        wire.write_all(head.as_bytes()).and_then(|()| wire.write_all(&vec![b'x'; 8 << 20])).is_ok()
    });
    let egress = egress_to(&[receiver.address]);
    for _ in 0..2 {
        assert_eq!(answer(&egress, &endpoint(receiver.url("/"), |_| {})).await.status, 200);
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_the_receiver_has_closed_is_replaced() {
    // It says that it stays open, and closes all the same.
    let receiver = Receiver::start(|_, wire| {
        let _ = wire.write_all(OK.as_bytes());
        false
    });
    let egress = egress_to(&[receiver.address]);
    for _ in 0..5 {
        assert_eq!(answer(&egress, &endpoint(receiver.url("/"), |_| {})).await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receiver.received().len(), 5, "no call is made twice");
}
