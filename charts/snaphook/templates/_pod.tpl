{{/* A Pod template of one container: a dict of root, values (a section of them), component, account, arguments, and, where there
     are any, environment (names and fieldPaths), volumes, mounts, annotations, restartPolicy and grace. What listens has ports, and
     takes extraArgs; `startup` is how many tries of 2 s it has to begin. */}}
{{- define "snaphook.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
metadata:
  labels:
    {{- include "snaphook.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) $values.podAnnotations (.annotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "snaphook.fullname" $root }}-{{ .account }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .grace }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: snaphook
    image: {{ include "snaphook.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args:
    {{- range .arguments }}
    - {{ . | quote }}
    {{- end }}
    - --log-format={{ $root.Values.logs.format }}
    {{- if .ports }}
    {{- range $values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    {{- end }}
    env:
    - name: RUST_LOG
      value: {{ $root.Values.logs.level | quote }}
    {{- range $name, $path := .environment }}
    - name: {{ $name }}
      valueFrom: {fieldRef: {fieldPath: {{ $path }}}}
    {{- end }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .ports }}
    ports:
    {{- range $name, $port := . }}
    - name: {{ $name }}
      containerPort: {{ $port }}
    {{- end }}
    livenessProbe:
      httpGet: {path: /livez, port: probes}
      periodSeconds: 10
      timeoutSeconds: 5
    readinessProbe:
      httpGet: {path: /readyz, port: probes}
      periodSeconds: 5
      timeoutSeconds: 5
    {{- end }}
    {{- with .startup }}
    startupProbe:
      httpGet: {path: /livez, port: probes}
      periodSeconds: 2
      failureThreshold: {{ . }}
    {{- end }}
    resources:
      {{- toYaml $values.resources | nindent 6 }}
    securityContext:
      {{- toYaml $values.securityContext | nindent 6 }}
    {{- with concat (.mounts | default list) $values.extraVolumeMounts }}
    volumeMounts:
      {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with concat (.volumes | default list) $values.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Metadata of an object: (list . "name's end" "component"), where both may be empty. */}}
{{- define "snaphook.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "snaphook.fullname" $root }}{{ with index . 1 }}-{{ . }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "snaphook.labels" $root | nindent 2 }}
  {{- with index . 2 }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- end -}}
