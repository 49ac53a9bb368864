//! Values of the chart that people may give, and such that are refused with a word that says what is wrong.

/// Values that make everything there is, and those for distributions that differ.
pub const RIGHT: &[(&str, &[&str])] = &[
    (
        "everything",
        &[
            r#"drivers={"image":{"inline":true},"lvm":{"enabled":true},"nfs":{"enabled":true,"pools":{"shared":"nfs.example:/export"}}}"#,
            r#"storageClasses={"becket-image":{"reclaimPolicy":"Retain","mountOptions":["noatime"]},"fast":{"driver":"lvm"},"shared":{"driver":"nfs","parameters":{"limit":"none"}},"old":{"driver":"image","interface":"flexvolume","parameters":{"pool":"fast"}}}"#,
            r#"provisionerSecrets={"default":["key"]}"#,
            r#"flexvolume={"action":"install","refresh":"5m"}"#,
            r#"poolDirectories=["/mnt/disks"]"#,
            r#"metrics={"annotations":true}"#,
            r#"node={"maxVolumes":50,"verbose":true,"startUpTaint":true,"nodeSelector":{"disk":"fast"}}"#,
            r#"image={"pullSecrets":[{"name":"key"}]}"#,
            "openshift=true",
        ],
    ),
    (
        "another kubelet",
        &[
            r#"kubelet={"root":"/var/lib/k0s/kubelet"}"#,
            r#"flexvolume={"action":"remove","pluginDirectory":"/usr/libexec/k0s/kubelet-plugins/volume/exec"}"#,
            r#"metrics={"address":"[::]"}"#,
            r#"storageClasses={"becket-directory":null}"#,
            r#"drivers={"directory":{"enabled":false}}"#,
        ],
    ),
];

/// Values that are wrong, and what is said of them.
pub const WRONG: &[(&str, &str)] = &[
    (r#"kubelet={"root":"var/lib/kubelet"}"#, "kubelet/root"),
    (r#"kubelet={"root":"/var/lib/kubelet/"}"#, "kubelet/root"),
    (r#"kubelet={"rootDirectory":"/var/lib/kubelet"}"#, "rootDirectory"),
    (r#"stateDirectory="/a b""#, "stateDirectory"),
    (r#"image={"tag":"a:b"}"#, "image/tag"),
    (r#"image={"digest":"sha256:1"}"#, "image/digest"),
    (r#"image={"pullPolicy":"Sometimes"}"#, "pullPolicy"),
    (r#"drivers={"zfs":{"enabled":true}}"#, "zfs"),
    (r#"drivers={"image":{"enabled":"yes"}}"#, "drivers/image/enabled"),
    (r#"drivers={"image":{"enabled":false},"directory":{"enabled":false}}"#, "enable"),
    (r#"drivers={"nfs":{"enabled":true,"pools":{"shared":"nfs.example"}}}"#, "pools/shared"),
    (r#"controller={"replicas":"two"}"#, "controller/replicas"),
    (r#"storageClasses={"fast":{"driver":"lvm"}}"#, "not enabled"),
    (r#"storageClasses={"Fast":{"driver":"image"}}"#, "Fast"),
    (r#"storageClasses={"fast":{"parameters":{"pool":"fast"}}}"#, "driver"),
    (r#"storageClasses={"fast":{"driver":"image","parameters":{"n":1}}}"#, "parameters/n"),
    (r#"storageClasses={"fast":{"driver":"image","reclaimPolicy":"Recycle"}}"#, "reclaimPolicy"),
    (r#"storageClasses={"old":{"driver":"image","interface":"flexvolume"}}"#, "flexvolume.action"),
    (r#"storageClasses={"old":{"driver":"image","interface":"FlexVolume"}}"#, "old/interface"),
    (
        r#"snapshotClasses={"often":{"driver":"image","deletionPolicy":"Recycle"}}"#,
        "deletionPolicy",
    ),
    (r#"flexvolume={"action":"uninstall"}"#, "flexvolume/action"),
    (r#"flexvolume={"drivers":[]}"#, "flexvolume/drivers"),
    (r#"flexvolume={"vendor":"Becket"}"#, "flexvolume/vendor"),
    (r#"flexvolume={"refresh":"5 minutes"}"#, "flexvolume/refresh"),
    (r#"metrics={"address":"::"}"#, "metrics/address"),
    (r#"metrics={"port":0}"#, "metrics/port"),
    (r#"node={"maxVolumes":-1}"#, "maxVolumes"),
    (r#"node={"updateStrategy":{"type":"Recreate"}}"#, "updateStrategy"),
    (r#"provisionerSecrets={"default":[]}"#, "provisionerSecrets/default"),
    (r#"openshift="yes""#, "openshift"),
    ("drivrs={}", "drivrs"),
];
