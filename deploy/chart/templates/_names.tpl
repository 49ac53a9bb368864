{{/* What objects are called: by the release, which usually is the chart's name. */}}
{{- define "becket.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What tells the pods of this release from others; it can never change. */}}
{{- define "becket.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The same for the pods that make volumes for all nodes. */}}
{{- define "becket.controllerSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The words that make the pools of file servers known. */}}
{{- define "becket.nfsPools" -}}
{{- range $name, $place := .Values.drivers.nfs.pools }}
- {{ printf "--nfs-pool=%s=%s" $name $place | quote }}
{{- end }}
{{- end -}}

{{- define "becket.labels" -}}
{{ include "becket.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "becket.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "becket.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* The account of the pods that make volumes for all nodes: no node's token is to reach their lease. */}}
{{- define "becket.controllerAccount" -}}
{{- include "becket.account" . }}{{ if .Values.serviceAccount.create }}-controller{{ end }}
{{- end -}}

{{/* Who does the duties of a driver: the nodes, and the controller where there is one. */}}
{{- define "becket.accounts" -}}
- kind: ServiceAccount
  name: {{ include "becket.account" . }}
  namespace: {{ .Release.Namespace }}
{{- if .Values.drivers.nfs.enabled }}
- kind: ServiceAccount
  name: {{ include "becket.controllerAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
{{- end -}}

{{- define "becket.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end -}}

{{/* The drivers that are served, with commas. */}}
{{- define "becket.drivers" -}}
{{- $served := list -}}
{{- range $name, $driver := .Values.drivers -}}
{{- if $driver.enabled -}}{{- $served = append $served $name -}}{{- end -}}
{{- end -}}
{{- if not $served -}}{{- fail "enable one of the drivers" -}}{{- end -}}
{{- join "," $served -}}
{{- end -}}

{{/* Binds the ClusterRole of a duty to those that do it: (dict "root" $ "duty" NAME), with "node" true to the nodes
alone. */}}
{{- define "becket.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "becket.name" .root }}-{{ .duty }}
  labels: {{- include "becket.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "becket.name" .root }}-{{ .duty }}
subjects:
  {{- if .node }}
  - kind: ServiceAccount
    name: {{ include "becket.account" .root }}
    namespace: {{ .root.Release.Namespace }}
  {{- else }}
  {{- include "becket.accounts" .root | nindent 2 }}
  {{- end }}
{{- end -}}
