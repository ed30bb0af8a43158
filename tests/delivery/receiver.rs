//! A receiver on loopback that notes what it gets, byte for byte, and answers as a test says.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection, with or without TLS.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// One request, as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// On which connection, from 0.
    pub(crate) connection: usize,
    pub(crate) request_line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// All values of a header, whose name is in lower case on the wire.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter_map(|line| line.split_once(": "));
        values.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
    }

    /// The request as an echoing receiver would repeat it.
    pub(crate) fn echo(&self) -> String {
        format!("{}\r\n{}\r\n\r\n{}", self.request_line, self.headers.join("\r\n"), String::from_utf8_lossy(&self.body))
    }
}

/// Writes an answer; `false` closes the connection.
type Answer = dyn Fn(&Received, &mut dyn Wire) -> bool + Send + Sync;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// Always the same answer, on connections that stay open.
    pub(crate) fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |_, wire| wire.write_all(answer.as_bytes()).is_ok())
    }

    pub(crate) fn start(answer: impl Fn(&Received, &mut dyn Wire) -> bool + Send + Sync + 'static) -> Self {
        Self::bind(None, Arc::new(answer))
    }

    pub(crate) fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::bind(Some(config), Arc::new(|_, wire| wire.write_all(OK.as_bytes()).is_ok()))
    }

    fn bind(tls: Option<Arc<ServerConfig>>, answer: Arc<Answer>) -> Self {
        let (listener, address) = silent_port();
        let bound = Self { address, received: Arc::default(), connections: Arc::default() };
        let (received, connections) = (bound.received.clone(), bound.connections.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (received, answer, tls) = (received.clone(), answer.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(connection, stream, &received, &*answer),
                    Some(config) => {
                        let tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                        serve(connection, tls, &received, &*answer);
                    }
                });
            }
        });
        bound
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received.into_iter().next().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn serve(connection: usize, stream: impl Wire, received: &Mutex<Vec<Received>>, answer: &Answer) {
    let mut wire = BufReader::new(stream);
    while let Some(request) = read(connection, &mut wire) {
        received.lock().unwrap().push(request.clone());
        if !answer(&request, wire.get_mut()) {
            return;
        }
    }
}

fn read(connection: usize, wire: &mut BufReader<impl Read>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut request = Received { connection, request_line: lines.remove(0), headers: lines, body: Vec::new() };
    let length = request.header("content-length").first().map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    wire.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// A port on which nothing listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A port on which connections are accepted by the system and by nobody else.
pub(crate) fn silent_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Whether anybody has connected to a silent port.
pub(crate) fn was_called(listener: &TcpListener) -> Option<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    listener.accept().ok().map(|(stream, _)| stream)
}
