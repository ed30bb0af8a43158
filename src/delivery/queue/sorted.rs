//! Flow 3: rows that go into a table many at a time, in the order of their keys, and not each on a way of its own.

use std::{collections::BTreeSet, mem, ops::Bound};

use redb::{CursorError, Key, ReadableTable as _, Table, Value};

use super::{fault::Fault, tables::Place};

/// Inserts rows with new keys in ascending order: those that no other row lies between go in together.
pub(super) fn insert_sorted<'r, K: Key + 'static, V: Value + 'static>(
    table: &mut Table<'_, K, V>,
    rows: impl IntoIterator<Item = (K::SelfType<'r>, V::SelfType<'r>)>,
) -> Result<(), Fault> {
    let mut rows = rows.into_iter().peekable();
    while let Some((key, value)) = rows.next() {
        let mut cursor = table.lower_bound_mut(Bound::Included(&key))?;
        cursor.insert_before(&key, &value)?;
        while let Some((key, value)) = rows.peek() {
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
        insert_sorted(&mut self.table, mem::take(&mut self.new).into_iter().map(|place| (place, ())))
    }
}
