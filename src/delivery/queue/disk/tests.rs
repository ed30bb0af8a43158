use std::{io, os::unix::fs::PermissionsExt as _};

use redb::{DatabaseError, StorageError};

use super::{
    super::{Embedded, Retention},
    *,
};
use crate::test_dir::TestDir;

async fn open(directory: &Path) -> Result<Embedded, OpenError> {
    Embedded::open(directory, Retention::default()).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let base = TestDir::new();
    let directory = base.path().join("data/queue");
    open(&directory).await.unwrap().close().await;
    let file = directory.join(FILE);
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));

    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    open(&directory).await.unwrap().close().await;
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
}

#[tokio::test]
async fn a_file_that_is_in_use_is_an_error_at_once_and_free_after_the_end() {
    let directory = TestDir::new();
    let first = open(directory.path()).await.unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let words = format!("{} is in use by another process", directory.path().join(FILE).display());
    assert!(error.to_string().contains(&words), "{error}");
    first.close().await;
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_file_is_left_as_it_is() {
    let directory = TestDir::new();
    let file = directory.path().join(FILE);
    fs::write(&file, "customers: Ada, Grace").unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "customers: Ada, Grace");
}

#[tokio::test]
async fn what_is_no_directory_is_an_error_that_names_the_file() {
    let directory = TestDir::new();
    fs::write(directory.path().join("file"), "").unwrap();
    let error = open(&directory.path().join("file/queue")).await.unwrap_err();
    assert!(error.to_string().contains("file/queue/queue.redb"), "{error}");
}

#[test]
fn what_the_system_remembers_can_be_forgotten() {
    let directory = TestDir::new();
    let mut file = QueueFile::new(directory.path());
    assert!(file.forget().is_err());
    file.open().unwrap();
    file.forget().unwrap();
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let path = Path::new("/data/queue.redb");
    let io = |kind: ErrorKind| DatabaseError::Storage(StorageError::Io(kind.into()));
    let cases = [
        (DatabaseError::DatabaseAlreadyOpen, "stop that one first"),
        (io(ErrorKind::StorageFull), "make its volume larger"),
        (io(ErrorKind::QuotaExceeded), "make its volume larger"),
        (io(ErrorKind::ReadOnlyFilesystem), "mount it writable"),
        (io(ErrorKind::PermissionDenied), "fsGroup"),
        (io(ErrorKind::InvalidData), "move it away"),
        (io(ErrorKind::UnexpectedEof), "restore it"),
        (
            DatabaseError::Storage(StorageError::Corrupted("page 7".to_owned())),
            "damaged (DB corrupted: page 7): restore it",
        ),
        (DatabaseError::Storage(StorageError::Io(io::Error::other("?"))), "cannot be opened"),
    ];
    for (error, words) in cases {
        let error = OpenError::of_database(path, error).to_string();
        assert!(error.contains("/data/queue.redb") && error.contains(words), "{error}");
    }
}
