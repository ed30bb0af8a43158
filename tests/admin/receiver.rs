//! A receiver that notes what it gets and answers with the status that a test sets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    status: Arc<AtomicU16>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, status: Arc::new(AtomicU16::new(200)), calls: Arc::default() };
        let (status, calls) = (receiver.status.clone(), receiver.calls.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (status, calls) = (status.clone(), calls.clone());
                thread::spawn(move || serve(stream, &status, &calls));
            }
        });
        receiver
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, status: &AtomicU16, calls: &Mutex<Vec<Call>>) {
    let mut wire = BufReader::new(stream);
    while let Some(call) = read(&mut wire) {
        calls.lock().unwrap().push(call);
        let answer = format!("HTTP/1.1 {} Any\r\ncontent-length: 0\r\n\r\n", status.load(Ordering::SeqCst));
        if wire.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(wire: &mut BufReader<TcpStream>) -> Option<Call> {
    let (mut call, mut length) = (Call { id: String::new(), content_type: String::new(), body: String::new() }, 0);
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        match line.trim_end().split_once(": ") {
            Some(("webhook-id", value)) => value.clone_into(&mut call.id),
            Some(("content-type", value)) => value.clone_into(&mut call.content_type),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).ok()?;
    call.body = String::from_utf8(body).unwrap();
    Some(call)
}
