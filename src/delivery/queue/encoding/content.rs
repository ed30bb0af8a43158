//! Flow 3, pure: the row of a content: where its head is, the number of headers, the headers, and all the rest is the body.

use bytes::Bytes;

use super::{Damaged, Reader, Writer};
use crate::delivery::{
    message::{Content, Header},
    queue::claims::Ticket,
};

pub(in crate::delivery::queue) fn write_content(ticket: Ticket, content: &Content, row: &mut Vec<u8>) {
    row.clear();
    let mut writer = Writer(row);
    writer.ticket(ticket);
    writer.length(content.headers().len() as u64);
    for Header { name, value } in content.headers() {
        writer.text(name);
        writer.sized(value);
    }
    writer.bytes(content.body());
}

pub(in crate::delivery::queue) fn read_ticket(row: &[u8]) -> Result<Ticket, Damaged> {
    Reader(row).ticket()
}

pub(in crate::delivery::queue) fn read_content(row: &[u8]) -> Result<Content, Damaged> {
    let mut reader = Reader(row);
    reader.ticket()?;
    let count = reader.size()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let (name, value) = (reader.text()?.into(), Bytes::copy_from_slice(reader.sized()?));
        headers.push(Header { name, value });
    }
    Ok(Content::new(headers, Bytes::copy_from_slice(reader.0)))
}

impl Writer<'_> {
    fn ticket(&mut self, Ticket { endpoint, number }: Ticket) {
        self.bytes(&endpoint.to_le_bytes());
        self.u64(number);
    }
}

impl Reader<'_> {
    fn ticket(&mut self) -> Result<Ticket, Damaged> {
        Ok(Ticket { endpoint: u32::from_le_bytes(self.array()?), number: self.u64()? })
    }
}
