//! One route for all Webhooks.

use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;
use snaphook::crd::{Webhook, condition::ConditionStatus};

use super::{balance, config, controller, paths_of, spec_of, webhook};
use crate::harness::{Tenant, until, until_some};

const SHARED: &str = "snaphook-hooks";

#[tokio::test]
async fn one_route_for_all_is_made_once_told_to_all_and_goes_with_the_mode() {
    let t = Tenant::alone("shared").await;
    let controller = controller(&t, "routes: {mode: shared, className: edge}").await;
    let all = t.of::<Webhook>();
    for name in ["one", "two", "three"] {
        t.apply(&webhook(name, &json!(null))).await;
    }
    t.apply(&webhook("special", &json!({ "type": "Ingress" }))).await;
    for name in ["one", "two", "three", "special"] {
        all.ready(name).await;
        t.event(name, "Created").await;
    }
    let shared = async || t.ingresses().get_opt(SHARED).await.unwrap();
    let ingress = until_some("the route for all", &shared).await;
    let spec = spec_of(&ingress);
    assert_eq!(paths_of(&ingress), ["/hooks/"]);
    assert_eq!(spec["rules"][0]["http"]["paths"][0]["pathType"], "Prefix");
    assert_eq!((&spec["rules"][0]["host"], &spec["ingressClassName"]), (&json!("hooks.example.com"), &json!("edge")));
    assert!(t.ingresses().get_opt(&t.route_name("one")).await.unwrap().is_none());
    t.ingress("special", "one of its own, as it asks for one", |_| true).await;
    balance(&t, SHARED, "192.0.2.8").await;
    for name in ["one", "two", "three"] {
        let status = t.route_is(name, ConditionStatus::True, "Accepted").await;
        assert_eq!((status.name.as_deref(), &*status.addresses), (Some(SHARED), &["192.0.2.8".to_owned()][..]));
    }
    all.delete("one").await;
    t.sentinel().await;
    assert_eq!(shared().await.unwrap().uid(), ingress.uid(), "others need it");
    t.ingresses().delete(SHARED, &DeleteParams::default()).await.unwrap();
    until("it is made anew", || async { shared().await.is_some_and(|it| it.uid() != ingress.uid()) }).await;

    controller.configure(&config(&t, ""));
    t.ingress("two", "one of its own", |_| true).await;
    until("the one for all goes", || async { shared().await.is_none() }).await;
    controller.configure(&config(&t, "routes: {mode: shared}"));
    until("it is back", || async { shared().await.is_some() }).await;
    let name = t.route_name("two");
    until("its own goes", || async { t.ingresses().get_opt(&name).await.unwrap().is_none() }).await;
}
