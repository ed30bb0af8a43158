//! As much load as some connections can make, one request after the other on each.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

/// What is sent, in turn, and what must stand in every answer.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) all: Arc<Vec<Vec<u8>>>,
    /// Whether to begin again when all were sent; an error otherwise.
    pub(crate) again: bool,
    pub(crate) expect: &'static str,
}

impl Load {
    /// Answers a second.
    pub(crate) fn run(&self, to: SocketAddr, requests: &Requests) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let next = Arc::new(AtomicUsize::new(0));
            let mut streams = vec![];
            for _ in 0..self.connections {
                let stream = TcpStream::connect(to).await.unwrap();
                stream.set_nodelay(true).unwrap();
                streams.push(stream);
            }
            let started = Instant::now();
            let end = started + self.time;
            let mut tasks = JoinSet::new();
            for stream in streams {
                tasks.spawn(connection(stream, requests.clone(), next.clone(), end));
            }
            let answers: u32 = tasks.join_all().await.into_iter().sum();
            f64::from(answers) / started.elapsed().as_secs_f64()
        })
    }
}

/// Sends every request once, and says whether all answers were as expected.
pub(crate) fn send_once(to: SocketAddr, requests: &Requests) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let mut buffer = vec![0; 16 * 1024];
        let mut expected = true;
        for request in requests.all.iter() {
            stream.write_all(request).await.unwrap();
            expected &= answer(&mut stream, &mut buffer).await.contains(requests.expect);
        }
        expected
    })
}

/// Sends every request once, on so many connections at a time; all answers must be as expected.
pub(crate) fn send_all(to: SocketAddr, requests: &Requests, connections: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (requests, next) = (requests.clone(), next.clone());
            tasks.spawn(async move {
                let mut stream = TcpStream::connect(to).await.unwrap();
                let mut buffer = vec![0; 16 * 1024];
                while let Some(request) = requests.all.get(next.fetch_add(1, Relaxed)) {
                    stream.write_all(request).await.unwrap();
                    let answer = answer(&mut stream, &mut buffer).await;
                    assert!(answer.contains(requests.expect), "{answer}");
                }
            });
        }
        tasks.join_all().await;
    });
}

async fn connection(mut stream: TcpStream, requests: Requests, next: Arc<AtomicUsize>, end: Instant) -> u32 {
    let mut buffer = vec![0; 16 * 1024];
    let mut answers = 0;
    while Instant::now() < end {
        let index = next.fetch_add(1, Relaxed);
        assert!(requests.again || index < requests.all.len(), "too few requests were prepared");
        stream.write_all(&requests.all[index % requests.all.len()]).await.unwrap();
        let answer = answer(&mut stream, &mut buffer).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(requests.expect), "{answer}");
        answers += 1;
    }
    answers
}

async fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> &'b str {
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await.unwrap();
        assert!(read > 0, "closed after {length} bytes");
        length += read;
        if is_complete(&buffer[..length]) {
            return std::str::from_utf8(&buffer[..length]).unwrap();
        }
    }
}

fn is_complete(answer: &[u8]) -> bool {
    let Some((head, body)) = std::str::from_utf8(answer).ok().and_then(|answer| answer.split_once("\r\n\r\n")) else {
        return false;
    };
    let length = head.split("content-length: ").nth(1).expect("a content-length");
    let length = length.split("\r\n").next().and_then(|length| length.parse().ok());
    length == Some(body.len())
}
