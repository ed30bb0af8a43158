//! The server as its users see it: the real binary over real HTTP, with records in a directory.

mod discovery;
mod hostile;
mod introspection;
mod lifecycle;
mod realm;
mod request;
mod secrets;
mod token_table;
