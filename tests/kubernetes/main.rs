//! The controller, and the whole path from `kubectl apply` to a checked token, against a real API server.

mod budget;
mod crash;
mod happy_path;
mod harness;
mod leader;
mod names;
mod own_secret;
mod policy;
mod revocation;
mod rights;
mod rotation;
mod secret_faults;
mod template;
mod upheaval;
