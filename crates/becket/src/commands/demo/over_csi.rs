//! The volume's life over the real CSI sockets, with a pod of the other interface in the middle of it.

use super::ground::{Answer, Ground};
use super::served::{Served, refused};
use super::{SIZE, bytes_of, options, read, write};
use becket_core::{Result, size};
use serde_json::{Value, json};

/// The volume's id: its pool and its name, by which FlexVolume knows it too.
const VOLUME: &str = "default/shared";

/// The snapshot's.
const SNAPSHOT: &str = "default/moment";

/// The restored volume's.
const RESTORED: &str = "default/restored";

/// From provisioning to deletion.
pub(super) fn show(ground: &mut Ground) -> Result<()> {
    super::output::say("CSI and FlexVolume: one volume, made by the one and mounted by both");
    let served = ground.serve()?;
    let csi = Csi { served: &served, staging: ground.path("csi-staging")? };
    csi.call(ground, "Probe", json!({}))?;
    csi.call(ground, "CreateVolume", create("shared", Value::Null))?;
    let target = csi.up(ground, VOLUME, "one")?;
    ground.step("write", "the CSI pod writes a file", || write(&target))?;
    csi.down(ground, VOLUME, "one")?;
    by_flexvolume(ground)?;
    let target = csi.up(ground, VOLUME, "two")?;
    ground.step("read", "and CSI has it again", || read(&target))?;
    let snapshot = json!({"source_volume_id": VOLUME, "name": "moment"});
    csi.call(ground, "CreateSnapshot", snapshot)?;
    grow(&csi, ground, &target)?;
    csi.down(ground, VOLUME, "two")?;
    let source = json!({"snapshot": {"snapshot_id": SNAPSHOT}});
    csi.call(ground, "CreateVolume", create("restored", source))?;
    let target = csi.up(ground, RESTORED, "three")?;
    ground.step("read", "the restored volume has the file", || read(&target))?;
    csi.down(ground, RESTORED, "three")?;
    csi.call(ground, "DeleteSnapshot", json!({"snapshot_id": SNAPSHOT}))?;
    for volume in [VOLUME, RESTORED] {
        csi.call(ground, "DeleteVolume", json!({"volume_id": volume}))?;
    }
    Ok(())
}

/// The same volume in a pod that knows nothing of CSI.
fn by_flexvolume(ground: &mut Ground) -> Result<()> {
    ground.install(false)?;
    let pod = ground.pod_directory("pod-f")?;
    ground.callout("mount", &[&pod, &options("shared", None)])?;
    ground.step("read", "the FlexVolume pod reads what CSI wrote", || read(&pod))?;
    ground.callout("unmount", &[&pod])?;
    ground.uninstall()
}

fn grow(csi: &Csi<'_>, ground: &mut Ground, target: &str) -> Result<()> {
    let range = json!({"required_bytes": 2 * SIZE});
    let request = json!({"volume_id": VOLUME, "capacity_range": range});
    csi.call(ground, "ControllerExpandVolume", request.clone())?;
    let mut request = request;
    request["volume_path"] = json!(target);
    match csi.call_maybe(ground, "NodeExpandVolume", request)? {
        Answer::Done => ground.step("size", "the pod sees the new size", || bytes_of(target)),
        // It is grown before its next mount.
        Answer::Refused => Ok(()),
    }
}

/// The driver, and where its volumes are staged.
struct Csi<'a> {
    served: &'a Served,
    staging: String,
}

impl Csi<'_> {
    /// Calls an RPC; any refusal ends the demo.
    fn call(&self, ground: &mut Ground, rpc: &str, request: Value) -> Result<()> {
        ground.step(rpc, "call", || match self.served.call(rpc, &request)? {
            Ok(answer) => Ok(worth_showing(&answer)),
            Err((code, words)) => Err(refused(rpc, code, &words)),
        })
    }

    /// Like [`Csi::call`], and a refusal is shown and handed back.
    fn call_maybe(&self, ground: &mut Ground, rpc: &str, request: Value) -> Result<Answer> {
        let mut outcome = Answer::Done;
        ground.step(rpc, "call", || match self.served.call(rpc, &request)? {
            Ok(answer) => Ok(worth_showing(&answer)),
            Err((_, words)) => {
                outcome = Answer::Refused;
                let hint = words.split_once("(hint: ").map(|(_, hint)| hint.trim_end_matches(')'));
                Ok(format!("refused: {}", hint.unwrap_or(&words)))
            }
        })?;
        Ok(outcome)
    }

    /// Stages and publishes a volume for a pod, as the kubelet does, and gives the pod's directory.
    fn up(&self, ground: &mut Ground, volume: &str, pod: &str) -> Result<String> {
        let target = format!("{}/mount", ground.path(&format!("kubelet/pods/{pod}"))?);
        let stage = json!({
            "volume_id": volume,
            "staging_target_path": self.staging,
            "volume_capability": capability(),
        });
        let mut publish = stage.clone();
        publish["target_path"] = json!(target);
        self.call(ground, "NodeStageVolume", stage)?;
        self.call(ground, "NodePublishVolume", publish)?;
        Ok(target)
    }

    /// The way back.
    fn down(&self, ground: &mut Ground, volume: &str, pod: &str) -> Result<()> {
        let target = format!("{}/mount", ground.path(&format!("kubelet/pods/{pod}"))?);
        let unpublish = json!({"volume_id": volume, "target_path": target});
        let unstage = json!({"volume_id": volume, "staging_target_path": self.staging});
        self.call(ground, "NodeUnpublishVolume", unpublish)?;
        self.call(ground, "NodeUnstageVolume", unstage)
    }
}

fn capability() -> Value {
    json!({"mount": {"fs_type": "ext4"}, "access_mode": {"mode": "SINGLE_NODE_MULTI_WRITER"}})
}

fn create(name: &str, source: Value) -> Value {
    let mut request = json!({
        "name": name,
        "capacity_range": {"required_bytes": SIZE},
        "volume_capabilities": [capability()],
    });
    if !source.is_null() {
        request["volume_content_source"] = source;
    }
    request
}

/// The one thing of an answer that a person looks for.
fn worth_showing(answer: &Value) -> String {
    let volume = &answer["volume"];
    if let (Some(id), Some(bytes)) = (volume["volume_id"].as_str(), bytes(volume)) {
        return format!("{id}, {bytes}");
    }
    let snapshot = answer["snapshot"]["snapshot_id"].as_str().map(str::to_owned);
    snapshot.or_else(|| bytes(answer)).unwrap_or_else(|| "OK".to_owned())
}

fn bytes(answer: &Value) -> Option<String> {
    answer["capacity_bytes"].as_u64().filter(|bytes| *bytes > 0).map(size::display)
}
