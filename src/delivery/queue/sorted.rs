//! Flow 3: rows that go into a table many at a time, in the order of their keys, and not each on a way of its own.

use std::{collections::BTreeSet, mem, ops::Bound};

use redb::{CursorError, Key, ReadableTable as _, Table, Value};

use super::{fault::Fault, tables::Place};

/// Fewer rows than this go in one by one, which leaves all pages but the last one full. A run leaves its last two half full.
const FEW: usize = 24;
/// From this size on a value has pages of its own, which a cursor beside it would write anew.
const LARGE: usize = 4_096;

/// Inserts rows, given in ascending order. Of those that are `alike` it is expected that no other row lies between them.
pub(super) fn insert_sorted<'r, K: Key + 'static, V: Value + 'static>(
    table: &mut Table<'_, K, V>,
    rows: &[(K::SelfType<'r>, V::SelfType<'r>)],
    alike: impl Fn(&K::SelfType<'r>, &K::SelfType<'r>) -> bool,
) -> Result<(), Fault> {
    rows.chunk_by(|(one, _), (next, _)| alike(one, next)).try_for_each(|run| insert_run(table, run))
}

fn insert_run<'r, K: Key + 'static, V: Value + 'static>(
    table: &mut Table<'_, K, V>,
    run: &[(K::SelfType<'r>, V::SelfType<'r>)],
) -> Result<(), Fault> {
    let is_small = |value: &V::SelfType<'r>| V::as_bytes(value).as_ref().len() < LARGE;
    let mut rows = run.iter();
    while let Some((first, value)) = rows.next() {
        // So what is before it, however large, stays as it is.
        table.insert(first, value)?;
        if rows.len() < FEW || !is_small(value) {
            continue;
        }
        let mut cursor = table.lower_bound_mut(Bound::Excluded(first))?;
        while let Some((key, value)) = rows.as_slice().first().filter(|(_, value)| is_small(value)) {
            match cursor.insert_before(key, value) {
                Err(CursorError::UnorderedKey) => break,
                inserted => inserted?,
            }
            rows.next();
        }
        cursor.close()?;
    }
    Ok(())
}

/// The table of places in a transaction that writes. New ones wait in memory until somebody reads, or the end.
pub(super) struct Places<'txn> {
    table: Table<'txn, Place, ()>,
    new: BTreeSet<Place>,
}

impl<'txn> Places<'txn> {
    pub(super) fn new(table: Table<'txn, Place, ()>) -> Self {
        Self { table, new: BTreeSet::new() }
    }

    /// Of a message that has no place, as its number says.
    pub(super) fn insert(&mut self, place: Place) {
        self.new.insert(place);
    }

    pub(super) fn remove(&mut self, place: Place) -> Result<(), Fault> {
        if !self.new.remove(&place) {
            self.table.remove(place)?;
        }
        Ok(())
    }

    pub(super) fn range(
        &mut self,
        places: std::ops::RangeInclusive<Place>,
    ) -> Result<redb::Range<'_, Place, ()>, Fault> {
        self.write()?;
        Ok(self.table.range(places)?)
    }

    pub(super) fn write(&mut self) -> Result<(), Fault> {
        let rows: Vec<_> = mem::take(&mut self.new).into_iter().map(|place| (place, ())).collect();
        insert_sorted(&mut self.table, &rows, |one, next| (one.0, one.1) == (next.0, next.1))
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

    /// A database to which lots of rows were added, each in a transaction of its own.
    fn filled(lots: &[Vec<(u64, usize)>]) -> Database {
        let database = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        for lot in lots {
            let rows: Vec<_> = lot.iter().map(|(key, length)| (*key, vec![7; *length])).collect();
            let rows: Vec<_> = rows.iter().map(|(key, value)| (*key, value.as_slice())).collect();
            let transaction = database.begin_write().unwrap();
            insert_sorted(&mut transaction.open_table(TABLE).unwrap(), &rows, |_, _| true).unwrap();
            transaction.commit().unwrap();
        }
        database
    }

    fn contents(database: &Database) -> Vec<(u64, usize)> {
        let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
        let rows = table.iter().unwrap().map(|row| row.unwrap());
        rows.map(|(key, value)| (key.value(), value.value().len())).collect()
    }

    #[test]
    fn all_rows_are_there_whatever_their_sizes_and_whatever_lies_between_them() {
        let sizes = [0, 40, 1_100, LARGE - 1, LARGE, 20_000];
        let lot = |first: u64, step: u64, count: u64, shift: usize| {
            let rows = (0..count).map(|row| (first + row * step, sizes[(usize::try_from(row).unwrap() + shift) % 6]));
            rows.collect::<Vec<_>>()
        };
        let lots = [lot(0, 10, 50, 0), lot(5, 10, 49, 1), lot(1, 10, 3, 2), lot(501, 1, 900, 3), lot(502, 0, 1, 4)];
        let mut expected: std::collections::BTreeMap<u64, usize> = lots.iter().flatten().copied().collect();
        assert_eq!(contents(&filled(&lots)), expected.clone().into_iter().collect::<Vec<_>>());
        // What is there is replaced where it is the first of a run.
        let again: Vec<_> = expected.iter().step_by(2).map(|(key, _)| (*key, 9)).collect();
        expected.extend(again.iter().copied());
        assert_eq!(contents(&filled(&[&lots[..], &[again]].concat())), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn pages_are_full_however_many_come_at_once() {
        const ROWS: u32 = 580;
        let mut seen = Vec::new();
        // About what contents and heads have.
        for (length, in_a_page) in [(1_100, 3), (130, 29)] {
            for lot in [1, FEW - 1, FEW + 1, 64, usize::MAX] {
                let rows: Vec<_> = (0..u64::from(ROWS)).map(|key| (key, length)).collect();
                let database = filled(&rows.chunks(lot).map(<[_]>::to_vec).collect::<Vec<_>>());
                let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
                seen.push((length, lot, table.stats().unwrap().leaf_pages() * 100 / u64::from(ROWS / in_a_page)));
            }
        }
        assert!(seen.iter().all(|(_, _, percent)| *percent <= 125), "bytes, rows in a lot, % of pages: {seen:?}");
    }
}
