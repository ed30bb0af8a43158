//! What every test here needs: a control plane, a controller at work, and a namespace of its own.

mod controller;
mod installation;
mod mount;
mod of_kind;
mod plane;
mod proxy;
mod server;
mod tenant;
mod wait;

pub(crate) use controller::{Controller, shared_controller};
pub(crate) use installation::Installation;
pub(crate) use mount::Mount;
pub(crate) use plane::{CONTROLLER_RULES, CRDS, Plane, REALM_RULES, busy, quiet};
pub(crate) use proxy::{Proxy, Side};
pub(crate) use server::Server;
pub(crate) use tenant::{Tenant, hash_of, value};
pub(crate) use wait::{SOON, eventually, until, until_some};
