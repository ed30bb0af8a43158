//! Snaphook: credentials and webhooks for Kubernetes, declared as resources.
