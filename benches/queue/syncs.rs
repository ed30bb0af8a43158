//! How many messages share a sync, with 64 callers that wait and a disk that takes 5 ms.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use snaphook::delivery::queue::{Embedded, Retention};

use crate::{
    Options,
    disks::{Counted, Sync},
    load,
    table::{Table, quantile},
};

pub(crate) fn measure(options: &Options, table: &mut Table) {
    let runtime = load::runtime();
    let disk = Counted::new(&options.directory, Sync::Takes(Duration::from_millis(5)));
    let count = disk.count();
    let queue = Arc::new(runtime.block_on(Embedded::open_on(disk, Retention::default())).unwrap());
    let before = count.load(Ordering::Relaxed);
    let seen = load::callers(&runtime, &queue, 64, options.time());
    let syncs = count.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let shared = seen.messages as f64 / syncs as f64;
    table.row("syncs a message, 64 callers, 5 ms a sync", "1/32", "1/58", format!("1/{shared:.1}"));
    let [median, late] = [0.5, 0.99].map(|share| quantile(&seen.waits, share));
    table.row("… time to 2xx, median, 99 %", "", "", format!("{median:.1} ms, {late:.1} ms"));
    runtime.block_on(queue.close());
}
