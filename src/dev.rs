//! Flow 1 without a cluster: `snaphook dev` reads resources from YAML files and takes them through the very same steps.
//!
//! | in a cluster | here |
//! |---|---|
//! | what users apply | [`manifests`]: the YAML files directly in DIR, read through [`yaml`] |
//! | the API server's admission | [`admission`]: defaults, the CRD's schema and rules, uid and generation |
//! | stored resources with their status | [`objects`]: `.snaphook/status` |
//! | Secrets, as Pods see them mounted | [`mounts`]: `.snaphook/secrets` |
//! | record Secrets | [`records`]: `.snaphook/records`, served from there by the very same server |
//! | the steps' view of all this | [`world`] |
//! | watches and the driver | [`run`] |
//! | `kubectl get`, Events | [`console`] |

pub mod admission;
pub mod console;
pub mod layout;
pub mod manifests;
pub mod mounts;
pub mod objects;
pub mod records;
pub mod run;
pub mod world;
pub mod yaml;

/// Namespace and name.
pub type Key = (String, String);
