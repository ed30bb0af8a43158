{{/* The Pod template of a server: a dict of root, component ("tokens" or "hooks") and serve; hooks have a volume for the queue. */}}
{{- define "snaphook.server" -}}
{{- $root := .root -}}
{{- $hooks := eq .component "hooks" -}}
{{- $arguments := list "server" (printf "--serve=%s" .serve) -}}
{{- $volumes := list -}}
{{- $mounts := list -}}
{{- with $root.Values.tls.secretName -}}
{{- $arguments = concat $arguments (list "--tls-cert=/etc/snaphook/tls/tls.crt" "--tls-key=/etc/snaphook/tls/tls.key") -}}
{{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" . "defaultMode" 0440)) -}}
{{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/snaphook/tls" "readOnly" true) -}}
{{- end -}}
{{- if $hooks -}}
{{- range $root.Values.hooks.allowEgress -}}
{{- $arguments = append $arguments (printf "--allow-egress=%s" .) -}}
{{- end -}}
{{- range $root.Values.hooks.denyEgress -}}
{{- $arguments = append $arguments (printf "--deny-egress=%s" .) -}}
{{- end -}}
{{/* The socket that `kubectl exec … -- snaphook deliveries` looks for lies beside the queue, and goes with the Pod. */}}
{{- $volumes = append $volumes (dict "name" "state" "emptyDir" (dict "sizeLimit" "1Mi")) -}}
{{- $mounts = append $mounts (dict "name" "state" "mountPath" "/var/lib/snaphook") -}}
{{- $mounts = append $mounts (dict "name" "queue" "mountPath" "/var/lib/snaphook/queue") -}}
{{- with $root.Values.hooks.persistence -}}
{{- if not .enabled -}}
{{- $volumes = append $volumes (dict "name" "queue" "emptyDir" dict) -}}
{{- else if .existingClaim -}}
{{- $volumes = append $volumes (dict "name" "queue" "persistentVolumeClaim" (dict "claimName" .existingClaim)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "snaphook.pod" (dict
  "root" $root
  "values" (index $root.Values .component)
  "component" .component
  "account" "server"
  "arguments" $arguments
  "environment" (dict "POD_NAMESPACE" "metadata.namespace" "POD_IP" "status.podIP")
  "ports" (dict "http" 8080 "probes" 8081)
  "startup" ($hooks | ternary 300 15)
  "volumes" $volumes
  "mounts" $mounts
  "grace" 45
) -}}
{{- end -}}
