{{/* The operator's configuration: what the chart knows, and over it what `config` says. JSON, to be read again with fromJson. */}}
{{- define "snaphook.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $tokens := include "snaphook.internalUrl" (list . "tokens") -}}
{{- $hooks := include "snaphook.internalUrl" (list . "hooks") -}}
{{- $realm := dict "namespace" .Release.Namespace "issuer" $tokens "internalUrl" $tokens -}}
{{- if ne .Values.layout "tokens" -}}
{{- $port := include "snaphook.servicePort" (list . .Values.hooks.service) | int -}}
{{- $service := dict "name" (printf "%s-hooks" (include "snaphook.fullname" .)) "port" $port -}}
{{- $realm = merge $realm (dict "internalHooksUrl" $hooks "service" $service) -}}
{{- if not (dig "realm" "issuer" nil $config) -}}
{{- $realm = merge $realm (dict "hooksUrl" $hooks) -}}
{{- end -}}
{{- end -}}
{{- with .Values.namespaces -}}
{{- $_ := set $config "watchNamespaces" . -}}
{{- end -}}
{{- mergeOverwrite (dict "realm" $realm) $config | toJson -}}
{{- end -}}

{{/* Whether a rule of the policy asks for labels of namespaces: then "true". */}}
{{- define "snaphook.labelsOfNamespaces" -}}
{{- range dig "policy" "rules" list .Values.config -}}
{{- if dig "namespaces" "matchLabels" nil . -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that would install something that cannot work. */}}
{{- define "snaphook.check" -}}
{{- $config := .Values.config -}}
{{- if gt (int .Values.hooks.replicas) 1 -}}
{{- fail "hooks.replicas must be 0 or 1: the queue of hooks is embedded, and lies on the volume of one Pod, so that a second Pod would keep and deliver messages of its own" -}}
{{- end -}}
{{- if hasKey $config "watchNamespaces" -}}
{{- fail "config.watchNamespaces: use the value `namespaces` instead, from which the rights are made as well" -}}
{{- end -}}
{{- if dig "realm" "namespace" nil $config -}}
{{- fail "config.realm.namespace is always the release's namespace: leave it out, and choose it with --namespace" -}}
{{- end -}}
{{- if eq (dig "leaderElection" "enabled" true $config) false -}}
{{- fail "config.leaderElection.enabled must not be false in a cluster: an upgrade runs two controllers for a moment, and an uninstallation takes the Lease" -}}
{{- end -}}
{{- if and .Values.namespaces (include "snaphook.labelsOfNamespaces" .) -}}
{{- fail "config.policy.rules: namespaces.matchLabels needs the right to read all namespaces, which `namespaces` rules out: name the namespaces in the rules instead" -}}
{{- end -}}
{{- if or .Values.tokens.ingress.enabled .Values.tokens.httpRoute.enabled -}}
{{- if not (dig "realm" "issuer" nil $config) -}}
{{- fail "config.realm.issuer is missing: the route of the token endpoint has its host and path" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.tokens.httpRoute.enabled (not .Values.tokens.httpRoute.parentRefs) -}}
{{- fail "tokens.httpRoute.parentRefs must name a Gateway" -}}
{{- end -}}
{{- end -}}
