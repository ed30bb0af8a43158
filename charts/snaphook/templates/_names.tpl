{{/* What names of objects begin with. */}}
{{- define "snaphook.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the Pods of the release have in common; nothing of it ever changes. */}}
{{- define "snaphook.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "snaphook.labels" -}}
{{ include "snaphook.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Which Pods serve: (list . "tokens") or (list . "hooks"). */}}
{{- define "snaphook.served" -}}
{{- $root := index . 0 -}}
{{ include "snaphook.selector" $root }}
app.kubernetes.io/component: {{ eq $root.Values.layout "combined" | ternary "hooks" (index . 1) }}
{{- end -}}

{{- define "snaphook.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Port of a Service: (list . .Values.tokens.service). */}}
{{- define "snaphook.servicePort" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- .port | default ($root.Values.tls.secretName | empty | ternary 80 443) -}}
{{- end -}}
{{- end -}}

{{/* Where the cluster reaches a part of the server: (list . "tokens"). */}}
{{- define "snaphook.internalUrl" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $scheme := $root.Values.tls.secretName | empty | ternary "http" "https" -}}
{{- $port := include "snaphook.servicePort" (list $root (index $root.Values $part).service) -}}
{{- $suffix := eq $port (eq $scheme "http" | ternary "80" "443") | ternary "" (printf ":%s" $port) -}}
{{- printf "%s://%s-%s.%s.svc%s" $scheme (include "snaphook.fullname" $root) $part $root.Release.Namespace $suffix -}}
{{- end -}}
