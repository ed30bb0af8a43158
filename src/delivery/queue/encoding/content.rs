//! Flow 3, pure: the row of a content: the number of headers, the headers, and all the rest is the body.

use bytes::Bytes;

use super::{Damaged, Reader, Writer};
use crate::delivery::message::{Content, Header};

/// Writes all but the body. That one is copied once, to where the database keeps it.
pub(in crate::delivery::queue) fn write_headers(headers: &[Header], row: &mut Vec<u8>) {
    row.clear();
    let mut writer = Writer(row);
    writer.length(headers.len() as u64);
    for Header { name, value } in headers {
        writer.text(name);
        writer.sized(value);
    }
}

pub(in crate::delivery::queue) fn read_content(row: &[u8]) -> Result<Content, Damaged> {
    let mut reader = Reader(row);
    let count = reader.size()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let (name, value) = (reader.text()?.into(), Bytes::copy_from_slice(reader.sized()?));
        headers.push(Header { name, value });
    }
    Ok(Content::new(headers, Bytes::copy_from_slice(reader.0)))
}
