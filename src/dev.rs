//! Flow 1 without a cluster: `snaphook dev` reads resources from YAML files and takes them through the very same steps.
//!
//! | in a cluster | here |
//! |---|---|
//! | what users apply | [`manifests`]: the YAML files directly in DIR, read through [`yaml`] |
//! | the API server's admission | [`admission`]: defaults, the CRD's schema and rules, uid and generation |
//! | stored resources with their status | [`objects`], those of all kinds in [`resources`]: `.snaphook/status` |
//! | Secrets, as Pods see them mounted | [`mounts`]: `.snaphook/secrets` |
//! | record Secrets | [`records`]: `.snaphook/records`, served from there by the very same server |
//! | the steps' view of all this | [`world`], and what only one kind depends on: [`around`] |
//! | watches and the driver | [`run`] |
//! | `kubectl get`, Events | [`console`] |
//! | the app that a Webhook delivers to | [`receiver`] |
//! | a terminal of one's own to try things in | [`shell`] |
//!
//! [`render`] does it once, and keeps nothing.

pub mod admission;
pub mod around;
pub mod console;
pub mod layout;
pub mod manifests;
pub mod mounts;
pub mod objects;
pub mod receiver;
pub mod records;
pub mod render;
pub mod resources;
pub mod run;
pub mod shell;
pub mod world;
pub mod yaml;

/// Namespace and name.
pub type Key = (String, String);
/// The resource of a kind.
pub type Named = (&'static str, Key);
