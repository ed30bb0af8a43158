//! The controller, and the whole path from `kubectl apply` to a checked token, against a real API server.

mod harness;
mod happy_path;
