{{/* The container that installs the FlexVolume drivers, once or for ever, or removes them. */}}
{{- define "becket.flexvolume" -}}
{{- $flex := .Values.flexvolume -}}
{{- $drivers := join "," $flex.drivers -}}
- name: flexvolume
  image: {{ include "becket.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if eq $flex.action "install" }}
  args:
    - install
    - --flex={{ $drivers }}
    - --plugin-dir={{ $flex.pluginDirectory }}
    - --vendor={{ $flex.vendor }}
    - --kubelet-root={{ .Values.kubelet.root }}
    {{- with $flex.refresh }}
    - --refresh={{ . }}
    {{- end }}
  command: [becket]
  {{- else }}
  # A driver of which a volume is mounted stays, and that it does is no reason to be without the others.
  command: [sh, -c]
  args:
    - |
      for driver in {{ join " " $flex.drivers }}; do
        becket uninstall --flex="$driver" --plugin-dir={{ $flex.pluginDirectory | quote }} --vendor={{ $flex.vendor }} || true
      done
  {{- end }}
  env:
    - name: BECKET_STATE_DIR
      value: {{ .Values.stateDirectory | quote }}
  # Root writes to the node's directories; nothing more is needed of the kernel.
  securityContext:
    runAsUser: 0
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
  resources:
    requests: {cpu: 5m, memory: 8Mi}
  volumeMounts:
    - {name: flexvolume, mountPath: {{ $flex.pluginDirectory | quote }}}
    # To see which volumes of the drivers are mounted.
    - {name: kubelet, mountPath: {{ .Values.kubelet.root | quote }}, mountPropagation: HostToContainer, readOnly: true}
    - {name: state, mountPath: {{ .Values.stateDirectory | quote }}, readOnly: true}
{{- end -}}
