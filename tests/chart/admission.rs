//! What the chart makes of many values is admitted by the API server, whose schemas are stricter than any copy of them, and its Pods
//! by the restricted Pod Security Standard.

use std::fs;

use control_plane::ControlPlane;
use serde_json::{Value, json};

use crate::release::{objects, render};

const EVERYTHING: &str = "\
fullnameOverride: hooks-and-tokens
commonLabels: {team: platform}
image: {repository: registry.example.com/snaphook, digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}
imagePullSecrets: [{name: registry}]
crds: {keep: false}
config:
  realm: {issuer: 'https://auth.example.com/x'}
  policy: {rules: [{namespaces: {matchLabels: {team: a}}, scopes: ['*']}]}
  leaderElection: {leaseDuration: 30s}
tls: {secretName: certificate}
logs: {format: text, level: debug}
controller: &all
  replicas: 2
  resources: {requests: {cpu: 1}}
  nodeSelector: {disk: ssd}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {}}]}}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]
  priorityClassName: system-cluster-critical
  podAnnotations: {a.example/b: c}
  podLabels: {tier: back}
  extraEnv: [{name: A, value: b}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
tokens:
  <<: *all
  replicas: 3
  podDisruptionBudget: {maxUnavailable: 25%}
  extraArgs: [--rate-limit=100]
  service: {type: LoadBalancer, port: 8443, annotations: {a.example/b: c}}
  ingress: {enabled: true, className: nginx, annotations: {a.example/b: c}, tlsSecretName: certificate}
  httpRoute: {enabled: true, parentRefs: [{name: gateway, namespace: gateways}], annotations: {a.example/b: c}}
hooks:
  <<: *all
  replicas: 1
  allowEgress: [10.0.0.0/8]
  persistence: {size: 1Gi, storageClassName: fast, annotations: {a.example/b: c}}
serviceMonitor: {enabled: true, interval: 30s, labels: {release: prometheus}}
networkPolicy: {enabled: true, from: [{namespaceSelector: {}}], metricsFrom: [{namespaceSelector: {}}]}
";

/// Values, and kinds that they make or leave out.
const MATRIX: [(&str, &[&str], &[&str]); 7] = [
    ("{}", &["Deployment", "StatefulSet", "CustomResourceDefinition", "Job"], &["NetworkPolicy", "Ingress"]),
    ("{layout: combined, crds: {enabled: false}}", &["StatefulSet"], &["CustomResourceDefinition"]),
    (
        "{layout: tokens, tokens: {replicas: 1}, crds: {enabled: false}, uninstall: {hook: false}}",
        &["Deployment"],
        &["StatefulSet", "Job", "PodDisruptionBudget"],
    ),
    ("{namespaces: [default, kube-public], crds: {enabled: false}}", &["Role"], &["ClusterRole", "ClusterRoleBinding"]),
    ("{hooks: {replicas: 0, persistence: {enabled: false}}, networkPolicy: {enabled: true}}", &["NetworkPolicy"], &[]),
    ("{hooks: {persistence: {existingClaim: queue}}, controller: {podSecurityContext: {runAsUser: null}}}", &[], &[]),
    (
        EVERYTHING,
        &[
            "Ingress",
            "HTTPRoute",
            "ServiceMonitor",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "ClusterRole",
            "ServiceAccount",
        ],
        &[],
    ),
];

async fn dry_run(cp: &ControlPlane, yaml: &str) -> Result<String, String> {
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let output = cp.kubectl_with_input(&apply, yaml).await.unwrap();
    let well = output.status.success() && !output.stderr.contains("Warning");
    if well { Ok(output.stdout) } else { Err(output.stderr) }
}

/// The kinds whose schemas the chart's objects are checked against, and a namespace that only takes restricted Pods, and warns.
async fn prepared(cp: &ControlPlane) -> String {
    let gateway = fs::read_to_string(
        control_plane::gateway_api_crds().unwrap().join("gateway.networking.k8s.io_httproutes.yaml"),
    );
    for crds in [&gateway.unwrap(), include_str!("service-monitor-crd.yaml")] {
        cp.install_crds(crds).await.unwrap();
    }
    let namespace = cp.namespace("restricted").await.unwrap();
    for mode in ["enforce", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}=restricted");
        cp.kubectl(&["label", "namespace", &namespace, &label]).await.unwrap().success().unwrap();
    }
    namespace
}

#[tokio::test]
async fn every_combination_of_values_is_admitted_and_its_pods_by_the_restricted_standard() {
    let cp = control_plane::shared().await.unwrap();
    let namespace = prepared(cp).await;
    for (values, made, left_out) in MATRIX {
        let yaml = render(cp, &namespace, values).unwrap();
        dry_run(cp, &yaml).await.unwrap_or_else(|error| panic!("{values}\n→ {error}"));
        let objects = objects(&yaml);
        let kinds: Vec<_> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        for kind in made {
            assert!(kinds.contains(kind), "{values}\nmakes no {kind}: {kinds:?}");
        }
        for kind in left_out {
            assert!(!kinds.contains(kind), "{values}\nmakes a {kind}");
        }
        let pods: Vec<_> = objects.iter().filter_map(|object| pod(object, &namespace)).collect();
        assert!(pods.len() >= 2, "{values}");
        for pod in pods {
            dry_run(cp, &pod.to_string()).await.unwrap_or_else(|error| panic!("{values}\n{pod:#}\n→ {error}"));
        }
    }
}

/// A Pod as the object's controller would make it: admission looks at Pods.
fn pod(object: &Value, namespace: &str) -> Option<Value> {
    let spec = object["spec"]["template"]["spec"].as_object()?;
    let (mut spec, name) = (json!(spec), format!("probe-{}", object["metadata"]["name"].as_str()?));
    if object["kind"] == "StatefulSet" && spec["volumes"].as_array()?.iter().all(|volume| volume["name"] != "queue") {
        let claim = json!({ "name": "queue", "persistentVolumeClaim": { "claimName": "queue" } });
        spec["volumes"].as_array_mut()?.push(claim);
    }
    let metadata = json!({ "name": name, "namespace": namespace });
    Some(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
}

#[tokio::test]
async fn a_pod_that_asks_for_more_is_refused_so_the_standard_is_really_enforced() {
    let cp = control_plane::shared().await.unwrap();
    let namespace = prepared(cp).await;
    let values = "{controller: {securityContext: {allowPrivilegeEscalation: true}}}";
    let objects = objects(&render(cp, &namespace, values).unwrap());
    let controller = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let refused = dry_run(cp, &pod(controller, &namespace).unwrap().to_string()).await.unwrap_err();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
}
