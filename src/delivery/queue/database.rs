//! Flow 3: a database as it is opened: of the right version, and with its ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableError};

use super::{
    disk::{Disk, OpenError},
    encoding::{self, read_endpoint},
    fault::Fault,
    ledger::{Entry, Ledger},
    tables::{self, Tables},
};

/// Pages that redb keeps in memory. More of them are in the operating system's own cache anyway.
const CACHE: usize = 16 << 20;

/// How much of the file is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// What it says of its last end counts.
    Clean,
    /// All of it is read and compared with its checksums: a write or a sync has failed.
    Verified,
}

/// Opens the database of a disk, or makes it.
pub(super) fn open<D: Disk>(disk: &mut D, trust: Trust) -> Result<(Database, Ledger), OpenError> {
    let backend = disk.open()?;
    let path = disk.path();
    let database = guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(trust == Trust::Verified);
        builder.create_with_backend(backend).map_err(|error| OpenError::of_database(path, error))
    });
    let database = database.unwrap_or_else(|GaveUp| Err(damaged(path, &Fault::Panic)))?;
    let ledger = guarded(|| prepare(&database)).unwrap_or(Err(Fault::Panic)).map_err(|fault| match fault {
        Fault::Database(error) => OpenError::of_error(path, *error),
        other => damaged(path, &other),
    })?;
    let ledger =
        ledger.map_err(|found| OpenError::Version { path: path.to_owned(), found, known: encoding::VERSION })?;
    Ok((database, ledger))
}

/// redb panicked.
pub(super) struct GaveUp;

/// redb may panic over a file that was changed behind its back, and that must not end the server. What is left of its
/// transaction is dropped, and the file closed.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, GaveUp> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| GaveUp)
}

fn damaged(path: &std::path::Path, fault: &Fault) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), detail: fault.to_string() }
}

/// The ledger, or the version that the file has.
fn prepare(database: &Database) -> Result<Result<Ledger, u64>, Fault> {
    match version(database)? {
        Some(encoding::VERSION) => read_ledger(database).map(Ok),
        Some(other) => Ok(Err(other)),
        None => initialise(database).map(|()| Ok(Ledger::default())),
    }
}

fn version(database: &Database) -> Result<Option<u64>, Fault> {
    match database.begin_read()?.open_table(tables::META) {
        Ok(meta) => Ok(meta.get(tables::VERSION)?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn initialise(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    Tables::open(&transaction)?.meta.insert(tables::VERSION, encoding::VERSION)?;
    Ok(transaction.commit()?)
}

fn read_ledger(database: &Database) -> Result<Ledger, Fault> {
    let transaction = database.begin_read()?;
    let mut entries = Vec::new();
    for row in transaction.open_table(tables::ENDPOINTS)?.iter()? {
        let (number, row) = row?;
        let (endpoint, amounts) = read_endpoint(row.value())?;
        entries.push((number.value(), Entry { endpoint, amounts }));
    }
    let meta = transaction.open_table(tables::META)?;
    let next_number = meta.get(tables::NEXT_NUMBER)?.map_or(0, |number| number.value());
    let next_endpoint = meta.get(tables::NEXT_ENDPOINT)?.map_or(0, |number| number.value());
    let next_endpoint = next_endpoint.try_into().map_err(|_| encoding::Damaged)?;
    Ok(Ledger::new(entries, next_number, next_endpoint))
}
