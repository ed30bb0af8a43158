//! A name server on loopback that answers as a test says. RFC 1035.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

const A: u16 = 1;
const AAAA: u16 = 28;
const HEADER: usize = 12;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Answers with `addresses(name, n)` to the `n`th question for IPv4 addresses, from 0, and with its IPv6 addresses to the others. What it
    /// says may be kept for no time at all. A name of no address is not there, and one that begins with `broken` brings an error.
    pub(crate) fn start(addresses: impl Fn(&str, usize) -> Vec<IpAddr> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self { address: socket.local_addr().unwrap(), asked: Arc::default() };
        let asked = server.asked.clone();
        thread::spawn(move || {
            let mut packet = [0; 1024];
            while let Ok((length, peer)) = socket.recv_from(&mut packet) {
                let (name, kind, end) = question(&packet[..length]);
                let mut asked = asked.lock().unwrap();
                let found = addresses(&name, asked.len());
                let code = if name.starts_with("broken") { 2 } else { 3 * u8::from(found.is_empty()) };
                if kind == A {
                    asked.push(name);
                }
                let fits = |address: &IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
                let found: Vec<_> = found.into_iter().filter(fits).collect();
                socket.send_to(&reply(&packet[..end], code, kind, &found), peer).unwrap();
            }
        });
        server
    }

    /// The names whose IPv4 addresses it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Name and type that are asked for, and where the question ends.
fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([packet[at + 1], packet[at + 2]]), at + 5)
}

fn reply(asked: &[u8], code: u8, kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let count = u8::try_from(addresses.len()).unwrap();
    let mut reply = asked.to_vec();
    // An answer, its code, one question, so many answers.
    reply[2..HEADER].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // The name that was asked for, the type, the class, no time to live.
        reply.extend(
            [&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 0, 0], &[u8::try_from(octets.len()).unwrap()]]
                .concat(),
        );
        reply.extend(octets);
    }
    reply
}
