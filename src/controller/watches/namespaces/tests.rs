//! Whatever comes, the index says what a walk over the store would say.

use kube::runtime::reflector;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;
use crate::crd::AppCredential;

/// One of few namespaces, names, ages and Secrets, so that they meet.
fn resource() -> impl Strategy<Value = Guarded<AppCredential>> {
    let parts = (0..2_u8, 0..6_u8, 0..3_u8, prop::option::of(0..6_u8), prop::option::of(0..6_u8), any::<bool>());
    parts.prop_map(|(namespace, name, age, wanted, had, parses)| {
        let secret = |of: u8| format!("r{of}-credential");
        let conditions: Vec<serde_json::Value> = had.iter().map(|_| condition()).collect();
        let resource = json!({
            "apiVersion": "snaphook.dev/v1alpha1",
            "kind": "AppCredential",
            "metadata": {
                "namespace": format!("n{namespace}"),
                "name": format!("r{name}"),
                "uid": format!("{namespace}-{name}"),
                "creationTimestamp": format!("2026-01-01T00:00:0{age}Z"),
            },
            "spec": if parses { json!({ "secretTemplate": { "name": wanted.map(secret) } }) } else { json!(7) },
            "status": { "secretName": had.map(secret), "conditions": conditions },
        });
        serde_json::from_value(resource).unwrap()
    })
}

fn condition() -> serde_json::Value {
    let at = "2026-01-01T00:00:00Z";
    json!({ "type": "Ready", "status": "True", "reason": "Active", "message": "", "lastTransitionTime": at, "observedGeneration": 1 })
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Box<Guarded<AppCredential>>),
    Delete(usize),
    List(Vec<Guarded<AppCredential>>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => resource().prop_map(|object| Step::Apply(Box::new(object))),
        2 => (0..100_usize).prop_map(Step::Delete),
        1 => vec(resource(), 0..8).prop_map(Step::List),
    ]
}

proptest! {
    #[test]
    fn the_index_says_what_a_walk_would_say(steps in vec(step(), 0..40)) {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let (store, mut writer) = reflector::store::<Guarded<AppCredential>>();
        let namespaces = Namespaces::default();
        for step in steps {
            let all = store.state();
            let events = match step {
                Step::Apply(object) => vec![Apply(*object)],
                Step::Delete(index) if !all.is_empty() => vec![Delete((*all[index % all.len()]).clone())],
                Step::Delete(_) => vec![],
                Step::List(objects) => {
                    [vec![Init], objects.into_iter().map(InitApply).collect(), vec![InitDone]].concat()
                }
            };
            for event in events {
                writer.apply_watcher_event(&event);
                namespaces.follow(&event, &store);
                check(&namespaces, &store)?;
            }
        }
    }
}

fn check(namespaces: &Namespaces<AppCredential>, store: &Store<Guarded<AppCredential>>) -> Result<(), TestCaseError> {
    let all = store.state();
    let parsed = || all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    for resource in parsed() {
        let namespace = resource.namespace().unwrap();
        let indexed = namespaces.look(&namespace, |space| space.rivals(resource)).unwrap();
        let walked = fetch::rivals(resource, parsed());
        prop_assert_eq!(indexed.older_in_namespace, walked.older_in_namespace);
        prop_assert_eq!(indexed.secret_name.is_some(), walked.secret_name.is_some());
    }
    for namespace in ["n0", "n1"] {
        let indexed = namespaces.look(namespace, |space| space.named.len()).unwrap_or(0);
        prop_assert_eq!(indexed, all.iter().filter(|object| object.namespace().as_deref() == Some(namespace)).count());
    }
    Ok(())
}
