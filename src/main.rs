//! The `snaphook` binary.

fn main() {}
