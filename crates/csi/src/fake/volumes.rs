//! The fake driver's volumes and snapshots: directories with files in them, and files for raw block.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tonic::Code;

/// What the driver answers instead.
pub(super) type Refusal = (Code, String);

pub(super) struct Volumes {
    root: PathBuf,
    volumes: BTreeMap<String, Volume>,
    snapshots: BTreeMap<String, Value>,
    /// Paths at which volumes are staged or published, and nodes to which they are attached.
    used: BTreeSet<(String, String)>,
    pub(super) spoil_copies: bool,
}

#[derive(Clone)]
struct Volume {
    size: u64,
    block: bool,
    source: Value,
}

impl Volumes {
    pub(super) fn new(root: &Path) -> Volumes {
        Volumes {
            root: root.to_owned(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            used: BTreeSet::new(),
            spoil_copies: false,
        }
    }

    pub(super) fn left(&self) -> Vec<String> {
        let used = self.used.iter().map(|(id, at)| format!("{id} at {at}"));
        self.volumes.keys().chain(self.snapshots.keys()).cloned().chain(used).collect()
    }

    pub(super) fn answer(&mut self, rpc: &str, request: &Value) -> Result<Value, Refusal> {
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let id = text("volume_id");
        match rpc {
            "CreateVolume" => self.create(request),
            "DeleteVolume" => self.delete(&id),
            "ListVolumes" => Ok(self.list()),
            "CreateSnapshot" => self.snapshot(&text("source_volume_id"), &text("name")),
            "DeleteSnapshot" => {
                self.snapshots.remove(&text("snapshot_id"));
                Ok(json!({}))
            }
            "ListSnapshots" => {
                let entries = self.snapshots.values().map(|one| json!({"snapshot": one}));
                Ok(json!({"entries": entries.collect::<Vec<_>>()}))
            }
            _ => {
                self.known(&id)?;
                self.of_volume(rpc, &id, request, &text)
            }
        }
    }

    fn of_volume(
        &mut self,
        rpc: &str,
        id: &str,
        request: &Value,
        text: &dyn Fn(&str) -> String,
    ) -> Result<Value, Refusal> {
        let (staging, target) = (text("staging_target_path"), text("target_path"));
        match rpc {
            "ValidateVolumeCapabilities" => {
                Ok(json!({"confirmed": {"volume_capabilities": request["volume_capabilities"]}}))
            }
            "ControllerPublishVolume" => {
                self.used.insert((id.to_owned(), text("node_id")));
                Ok(json!({"publish_context": {"attached": "yes"}}))
            }
            "ControllerUnpublishVolume" => self.forget(id, &text("node_id")),
            "NodeStageVolume" => self.show(id, &format!("{staging}/volume")),
            "NodeUnstageVolume" => self.hide(id, &format!("{staging}/volume")),
            "NodePublishVolume" => self.show(id, &target),
            "NodeUnpublishVolume" => self.hide(id, &target),
            "NodeGetVolumeStats" => Ok(json!({"usage": [
                {"unit": "BYTES", "total": self.known(id)?.size, "used": 4096, "available": 8192},
                {"unit": "INODES", "total": 1000, "used": 3, "available": 997},
            ]})),
            "ControllerExpandVolume" => {
                let size = request["capacity_range"]["required_bytes"].as_u64().unwrap_or_default();
                self.volumes.entry(id.to_owned()).and_modify(|volume| volume.size = size);
                Ok(json!({"capacity_bytes": size, "node_expansion_required": true}))
            }
            "NodeExpandVolume" => {
                let volume = self.known(id)?;
                if volume.block {
                    let file = fs::OpenOptions::new().write(true).open(self.path(id));
                    file.and_then(|file| file.set_len(volume.size)).map_err(failed)?;
                }
                Ok(json!({"capacity_bytes": volume.size}))
            }
            _ => Err((Code::Unimplemented, format!("{rpc} is not there"))),
        }
    }

    fn create(&mut self, request: &Value) -> Result<Value, Refusal> {
        let name = request["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err((Code::InvalidArgument, "a volume needs a name".to_owned()));
        }
        let id = format!("vol-{name}");
        if !self.volumes.contains_key(&id) {
            let size = request["capacity_range"]["required_bytes"].as_u64().unwrap_or(1 << 20);
            let block = request["volume_capabilities"][0].get("block").is_some();
            let source = request["volume_content_source"].clone();
            let volume = Volume { size, block, source };
            self.fill(&id, &volume).map_err(failed)?;
            self.volumes.insert(id.clone(), volume);
        }
        Ok(json!({"volume": self.entry(&id)}))
    }

    fn fill(&self, id: &str, volume: &Volume) -> std::io::Result<()> {
        let (path, source) = (self.path(id), &volume.source);
        let origin = source["snapshot"]["snapshot_id"].as_str();
        let origin = origin.or(source["volume"]["volume_id"].as_str());
        match origin {
            Some(origin) => copy(&self.path(origin), &path)?,
            None if volume.block => fs::write(&path, [])?,
            None => fs::create_dir_all(&path)?,
        }
        if volume.block {
            fs::OpenOptions::new().write(true).open(&path)?.set_len(volume.size)?;
        } else if self.spoil_copies && origin.is_some() {
            for entry in fs::read_dir(&path)? {
                fs::write(entry?.path(), "spoilt")?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<Value, Refusal> {
        if self.used.iter().any(|(used, _)| used == id) {
            return Err((Code::FailedPrecondition, format!("{id} is in use")));
        }
        if self.volumes.remove(id).is_some_and(|volume| volume.block) {
            fs::remove_file(self.path(id)).map_err(failed)?;
        }
        Ok(json!({}))
    }

    fn snapshot(&mut self, volume: &str, name: &str) -> Result<Value, Refusal> {
        let (of, id) = (self.known(volume)?, format!("snap-{name}"));
        if !self.snapshots.contains_key(&id) {
            copy(&self.path(volume), &self.path(&id)).map_err(failed)?;
        }
        let snapshot = json!({
            "snapshot_id": id, "source_volume_id": volume, "size_bytes": of.size,
            "creation_time": "2026-11-22T12:00:00Z",
            // Only the second time it is asked for.
            "ready_to_use": self.snapshots.contains_key(&id),
        });
        self.snapshots.insert(id, snapshot.clone());
        Ok(json!({"snapshot": snapshot}))
    }

    fn list(&self) -> Value {
        let entry = |id: &String| {
            let nodes = self.used.iter().filter(|(used, at)| used == id && !at.contains('/'));
            let nodes: Vec<&String> = nodes.map(|(_, at)| at).collect();
            json!({"volume": self.entry(id), "status": {"published_node_ids": nodes}})
        };
        json!({"entries": self.volumes.keys().map(entry).collect::<Vec<_>>()})
    }

    fn entry(&self, id: &str) -> Value {
        let volume = &self.volumes[id];
        json!({
            "volume_id": id, "capacity_bytes": volume.size, "content_source": volume.source,
            "volume_context": {"kind": if volume.block { "block" } else { "directory" }},
            "accessible_topology": [{"segments": {"fake.becket.dev/node": "node-1"}}],
        })
    }

    fn show(&mut self, id: &str, at: &str) -> Result<Value, Refusal> {
        if fs::symlink_metadata(at).is_err() {
            symlink(self.path(id), at).map_err(failed)?;
        }
        self.used.insert((id.to_owned(), at.to_owned()));
        Ok(json!({}))
    }

    fn hide(&mut self, id: &str, at: &str) -> Result<Value, Refusal> {
        if fs::symlink_metadata(at).is_ok() {
            fs::remove_file(at).map_err(failed)?;
        }
        self.forget(id, at)
    }

    fn forget(&mut self, id: &str, at: &str) -> Result<Value, Refusal> {
        self.used.remove(&(id.to_owned(), at.to_owned()));
        Ok(json!({}))
    }

    fn known(&self, id: &str) -> Result<Volume, Refusal> {
        let unknown = || (Code::NotFound, format!("volume {id} does not exist"));
        self.volumes.get(id).cloned().ok_or_else(unknown)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_file() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn failed(error: std::io::Error) -> Refusal {
    (Code::Internal, error.to_string())
}
