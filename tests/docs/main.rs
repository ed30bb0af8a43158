//! The documentation: the reference is what the CRDs say, every page is in the book, and every link leads somewhere.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not count their functions as such")]

mod book;
mod reference;
mod snippets;

use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}
