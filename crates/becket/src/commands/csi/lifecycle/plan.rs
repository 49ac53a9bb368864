//! What the volumes of a life have in common, and how one is made and brought to its target.

use super::Places;
use super::content::Place;
use super::life::{Life, Undo};
use crate::args::LifecycleArgs;
use crate::commands::csi::{Done, Failure};
use becket_core::{Error, Kind, size};
use becket_csi::client::{Code, Need};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `FAILED_PRECONDITION` says of a volume in use, and what follows.
pub(super) const UNUSED_FIRST: &str = "the driver wants the volume unused first: it is taken down";

/// A volume that there is.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) context: Value,
    pub(super) publish_context: Value,
    pub(super) staging: Option<PathBuf>,
    pub(super) place: Place,
}

/// What the volumes of this life have in common.
pub(super) struct Plan<'a> {
    pub(super) args: &'a LifecycleArgs,
    pub(super) places: &'a Places,
    pub(super) capability: Value,
    pub(super) node: String,
    pub(super) topology: Value,
    pub(super) shared: bool,
}

impl Plan<'_> {
    /// What the volume is asked for with.
    pub(super) fn request(&self, name: &str, size: u64, source: &Value) -> Value {
        let parameters: serde_json::Map<String, Value> = self
            .args
            .parameters
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect();
        let topology = match self.topology.is_null() {
            true => Value::Null,
            false => json!({"requisite": [self.topology], "preferred": [self.topology]}),
        };
        json!({
            "name": name, "capacity_range": {"required_bytes": size},
            "volume_capabilities": [self.capability], "parameters": parameters,
            "volume_content_source": source, "accessibility_requirements": topology,
        })
    }

    /// Makes a volume: empty, or from `source`.
    pub(super) fn create(
        &self,
        life: &mut Life,
        step: &str,
        name: &str,
        size: u64,
        source: Value,
    ) -> Result<Volume, Failure> {
        let request = self.request(name, size, &source);
        let answer = life.call(step, "CreateVolume", request, |answer| {
            let (volume, got) = (&answer["volume"], capacity(&answer["volume"]));
            match (volume["volume_id"].as_str(), got) {
                (None | Some(""), _) => Err(wrong("the volume has no id")),
                // 0 is "not known".
                (_, 1..) if got < size => {
                    Err(wrong(format!("{} is less than was asked for", size::display(got))))
                }
                (Some(id), _) => Ok(format!("{id}, {}", size::display(got))),
            }
        });
        // Also a volume that is not as it should be is there.
        if let Ok(answer) = &answer {
            life.undo.push(Undo::Volume { id: text(&answer["volume"], "volume_id") });
        }
        let volume = &answer?["volume"];
        let target = self.places.targets.join(name).join("target");
        Ok(Volume {
            name: name.to_owned(),
            id: text(volume, "volume_id"),
            size: capacity(volume).max(size),
            context: volume["volume_context"].clone(),
            publish_context: Value::Null,
            staging: None,
            place: Place { target, block: self.args.block },
        })
    }

    /// Attaches, stages and publishes the volume.
    pub(super) fn bring_up(&self, life: &mut Life, volume: &mut Volume) -> Done {
        let id = &volume.id;
        if life.capabilities.has(Need::Controller("PUBLISH_UNPUBLISH_VOLUME")) {
            life.undo.push(Undo::Attached { id: id.clone(), node: self.node.clone() });
            let request = json!({
                "volume_id": id, "node_id": self.node, "volume_capability": self.capability,
                "volume_context": volume.context,
            });
            let answer = life.call("attach", "ControllerPublishVolume", request, |_| {
                Ok(format!("{id} to {}", self.node))
            })?;
            volume.publish_context = answer["publish_context"].clone();
        } else {
            life.skip("attach", "the controller does not claim PUBLISH_UNPUBLISH_VOLUME");
        }
        if life.capabilities.has(Need::Node("STAGE_UNSTAGE_VOLUME")) {
            let path = self.places.staging.join(format!("{}-staging", volume.name));
            life.directory(id, &path)?;
            volume.staging = Some(path.clone());
            life.undo.push(Undo::Staged { id: id.clone(), path: path.clone() });
            let (request, shown) = (self.at_node(volume, json!({})), path.display().to_string());
            life.call("stage", "NodeStageVolume", request, |_| Ok(shown))?;
        } else {
            life.skip("stage", "the node does not claim STAGE_UNSTAGE_VOLUME");
        }
        self.publish(life, volume, "publish", &volume.place.clone())
    }

    /// Publishes the volume at a target, whose directory is made.
    pub(super) fn publish(&self, life: &mut Life, volume: &Volume, step: &str, at: &Place) -> Done {
        if let Some(parent) = at.target.parent() {
            life.directory(&volume.id, parent)?;
        }
        life.undo.push(Undo::Published { id: volume.id.clone(), target: at.target.clone() });
        let request = self.at_node(volume, json!({"target_path": at.target}));
        let target = at.target.display().to_string();
        life.call(step, "NodePublishVolume", request, |_| Ok(target)).map(|_| ())
    }

    /// What stage and publish have in common, with `more`.
    fn at_node(&self, volume: &Volume, mut more: Value) -> Value {
        more["volume_id"] = volume.id.clone().into();
        more["volume_capability"] = self.capability.clone();
        more["volume_context"] = volume.context.clone();
        more["publish_context"] = volume.publish_context.clone();
        more["staging_target_path"] = json!(volume.staging);
        more
    }

    /// Does something with a volume that is in use; out of use, where the driver will not do it otherwise.
    pub(super) fn unused<T>(
        &self,
        life: &mut Life,
        volume: &mut Volume,
        step: &str,
        act: impl Fn(&mut Life) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match act(life) {
            Err(Failure::Refused(refused)) if refused.status.code == Code::FailedPrecondition => {
                life.skip(&format!("{step} in use"), UNUSED_FIRST);
                life.take_down(&volume.id)?;
                let done = act(life)?;
                self.bring_up(life, volume)?;
                Ok(done)
            }
            done => done,
        }
    }

    /// Writes this volume's content, and reads it again.
    pub(super) fn write(&self, life: &mut Life, volume: &Volume, when: &str) -> Done {
        let (place, seed, size) = (&volume.place, seed(&volume.name, when), self.args.size);
        life.here("write", || place.write(&seed, size))?;
        life.here("read", || place.read(&seed, size))
    }

    /// The first size of the volumes: what is beyond is not compared.
    pub(super) fn size(&self) -> u64 {
        self.args.size
    }

    /// The name of the life's volume.
    pub(super) fn name(&self) -> &str {
        &self.places.name
    }
}

/// What is written into a volume, at a time.
pub(super) fn seed(name: &str, when: &str) -> String {
    format!("{name} {when}")
}

fn capacity(volume: &Value) -> u64 {
    volume["capacity_bytes"].as_u64().unwrap_or_default()
}

/// A field that is a text.
pub(super) fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

/// What is wrong with an answer.
pub(super) fn wrong(why: impl Into<String>) -> Error {
    Error::new(Kind::Internal, why)
}
