//! Flow 2: records from a directory, as the kubelet mounts them or `snaphook dev` writes them.
//!
//! Fresh means read: the age of the snapshot is the time since the last complete read.

mod read;

use std::{
    error::Error as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use self::read::{File, ReadError};
use super::{Document, Records, Store};
use crate::file_watch::FileWatch;

/// Follows the records in `path` until it is dropped. The directory need not exist yet.
///
/// Changes are published in milliseconds where the file system reports them, and after a third of `max_staleness`
/// where it does not. A read that fails leaves the last snapshot, which grows stale.
pub async fn run(path: PathBuf, store: Arc<Store>, max_staleness: Duration) {
    let mut watch = FileWatch::directories([&path], max_staleness / 3);
    let mut records = Records::new(store.needs());
    let mut failing = false;
    loop {
        let started = Instant::now();
        let result = read_apart(path.clone()).await;
        if let Err(error) = &result
            && !failing
        {
            let cause = error.source().map(tracing::field::display);
            tracing::error!(path = %path.display(), %error, cause, "records cannot be read, the last ones stay");
        }
        failing = result.is_err();
        if let Ok(files) = result {
            records.set("", files.iter().map(document));
            super::publish(&mut records, &store, started);
        }
        watch.changed().await;
    }
}

/// Reads on a thread where blocking holds nobody up.
async fn read_apart(path: PathBuf) -> Result<Vec<File>, ReadError> {
    tokio::task::spawn_blocking(move || read::read(&path)).await?
}

fn document(file: &File) -> Document<'_> {
    Document { key: &file.name, content: Ok((file.kind, &file.content)) }
}

#[cfg(test)]
mod tests;
