//! What needs a real API server: one binary, so that all tests share one control plane.

mod store;
