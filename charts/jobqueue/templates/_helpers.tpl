{{- define "jobqueue.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 44 | trimSuffix "-" -}}
{{- end -}}

{{/* 44: with the longest suffix, -operator-lease, a name is within the 63 characters of a label. */}}
{{- define "jobqueue.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains (include "jobqueue.name" .) .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "jobqueue.name" .) | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "api") → the name of its objects */}}
{{- define "jobqueue.component" -}}
{{- printf "%s-%s" (include "jobqueue.fullname" .root) .component -}}
{{- end -}}

{{/* The same for objects that belong to no namespace: two releases of one name must not share them. */}}
{{- define "jobqueue.clusterwide" -}}
{{- printf "%s-%s" .root.Release.Namespace (include "jobqueue.component" .) -}}
{{- end -}}

{{- define "jobqueue.selector" -}}
app.kubernetes.io/name: {{ include "jobqueue.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "jobqueue.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "jobqueue.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Labels and annotations of a pod. Nothing of the chart's version: a new chart alone restarts no worker.
The checksum does, when the settings change.
*/}}
{{- define "jobqueue.podMetadata" -}}
{{- $values := index .root.Values .component -}}
labels:
  {{- include "jobqueue.selector" . | nindent 2 }}
  {{- with mergeOverwrite (dict) .root.Values.commonLabels $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ .root.Values.config | toJson | sha256sum }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "jobqueue.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $name := printf "%s:%s" $image.repository (coalesce $image.tag .root.Values.image.tag .root.Chart.AppVersion) -}}
{{- if .root.Values.image.registry -}}{{ printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) $name }}{{- else -}}{{ $name }}{{- end -}}
{{- end -}}

{{- define "jobqueue.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.name -}}{{ $account.name }}{{- else if $account.create -}}{{ include "jobqueue.component" . }}{{- else -}}default{{- end -}}
{{- end -}}

{{/*
Replicas of a Deployment that others scale: (dict "root" $ "component" "worker" "first" 0).
What it has now, so that an upgrade writes nothing; `first` when it is installed. To leave the field out would
do neither: a new Deployment would begin with one pod, and Helm puts a field that it wrote once, and then no more,
back to its default. `helm template` cannot look and says `first`.
*/}}
{{- define "jobqueue.liveReplicas" -}}
{{- lookup "apps/v1" "Deployment" .root.Release.Namespace (include "jobqueue.component" .) | default dict | dig "spec" "replicas" .first | int -}}
{{- end -}}

{{/* Seconds for which a worker lets run what it has begun, from SIGTERM on. */}}
{{- define "jobqueue.drainSeconds" -}}
{{- /* A call may end that has just begun, and so may a receive (20 s): what it brings would else stay hidden. */ -}}
{{- if kindIs "invalid" .Values.worker.drainSeconds -}}
{{- $longest := maxf 20 (dig "processor" "timeout_seconds" 30 .Values.config) -}}
{{- range .Values.config.queues -}}
{{- $longest = maxf $longest (dig "processor" "timeout_seconds" 0 (. | default dict)) -}}
{{- end -}}
{{- $drain := addf $longest 5 | ceil | int -}}
{{- with .Values.worker.terminationGracePeriodSeconds -}}
{{- $drain = max 0 (min $drain (sub . 10)) -}}
{{- end -}}
{{- $drain -}}
{{- else -}}
{{- .Values.worker.drainSeconds | int -}}
{{- end -}}
{{- end }}

{{/* What every pod of the product is: the restricted pod security standard and more. */}}
{{- define "jobqueue.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001 # the images' own, as a number: the kubelet cannot tell by a name that it is not root
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "jobqueue.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Environment of every component; secrets by reference only. */}}
{{- define "jobqueue.env" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: JOBQUEUE_CONFIG_DIR
  value: /etc/jobqueue
{{- with .Values.mongodb.existingSecret }}
- name: JOBQUEUE_MONGODB__URI
  valueFrom:
    secretKeyRef: { name: {{ . | quote }}, key: {{ $.Values.mongodb.key | quote }} }
{{- end }}
{{- with .Values.aws.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.aws.endpointUrl }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.aws.existingSecret }}
{{- $secret := . }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $secret | quote }}, key: {{ . }} }
{{- end }}
{{- end }}
{{- range .Values.secretEnv }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: { name: {{ .secret | quote }}, key: {{ .key | quote }} }
{{- end }}
{{- end -}}

{{/* Where the pods of a component go, and as what they run. */}}
{{- define "jobqueue.placement" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "jobqueue.serviceAccount" . }}
# Else each Service of the namespace would be described in the environment, in names like those of settings.
enableServiceLinks: false
securityContext: {{- include "jobqueue.podSecurity" .root | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
{{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway # a pod in the wrong place is better than none
    labelSelector:
      matchLabels: {{- include "jobqueue.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
volumes:
  - name: config
    configMap: { name: {{ include "jobqueue.component" (dict "root" .root "component" "config") }} }
  - name: tmp
    emptyDir: {}
{{- end -}}

{{/* What the containers of all components have alike, beside name, env, ports and probes. */}}
{{- define "jobqueue.container" -}}
{{- $values := index .root.Values .component -}}
image: {{ include "jobqueue.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "jobqueue.containerSecurity" .root | nindent 2 }}
resources: {{- toYaml $values.resources | nindent 2 }}
volumeMounts:
  - { name: config, mountPath: /etc/jobqueue, readOnly: true }
  - { name: tmp, mountPath: /tmp }
{{- end -}}

{{/*
Namespaces in which the operator finds the ConfigMap of its workers' environment: the release's, and those it is
told of. A JSON list.
*/}}
{{- define "jobqueue.workerEnvNamespaces" -}}
{{- concat (list .Release.Namespace) .Values.operator.namespaces | uniq | toJson -}}
{{- end -}}
