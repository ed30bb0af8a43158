//! What a sync costs: messages a second with this disk's own, and without any.

use std::sync::Arc;

use snaphook::delivery::queue::{Embedded, Retention};

use crate::{
    Options,
    disks::{Counted, Sync},
    load,
    table::{Table, quantile},
};

pub(crate) fn measure(options: &Options, table: &mut Table) {
    for callers in [1, 64, 512] {
        let rates = [Sync::Real, Sync::Nothing].map(|sync| rate(options, table, callers, sync));
        let share = rates[0] / rates[1];
        table.row(
            &format!("messages/s with syncs, of those without, {callers} callers"),
            "",
            "",
            format!("{share:.2}"),
        );
    }
}

fn rate(options: &Options, table: &mut Table, callers: u64, sync: Sync) -> f64 {
    let runtime = load::runtime();
    let disk = Counted::new(&options.directory, sync);
    let queue = Arc::new(runtime.block_on(Embedded::open_on(disk, Retention::default())).unwrap());
    let seen = load::callers(&runtime, &queue, callers, options.time());
    runtime.block_on(queue.close());
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rate = seen.messages as f64 / seen.time.as_secs_f64();
    let [median, late] = [0.5, 0.99].map(|share| quantile(&seen.waits, share));
    let name = match sync {
        Sync::Nothing => format!("enqueue without syncs, {callers} callers"),
        _ => format!("enqueue, {callers} callers"),
    };
    table.row(&name, "", "", format!("{rate:.0}/s, median {median:.2} ms, 99 % {late:.2} ms"));
    rate
}
