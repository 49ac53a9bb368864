//! The calls of a life, what they left, and how that is taken back.

use super::content::make;
use super::report::Report;
use crate::commands::csi::secrets::{Hidden, Secrets};
use crate::commands::csi::{Done, Failure};
use crate::output;
use becket_core::error::shown;
use becket_core::{Error, Kind};
use becket_csi::client::{Capabilities, Client, Code, Refused, code_name};
use becket_csi::shape::{Rpc, merge_json, to_json};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Something to be taken back, of the volume with this id.
#[derive(Debug, Clone)]
pub(super) enum Undo {
    Volume { id: String },
    Snapshot { id: String },
    Attached { id: String, node: String },
    Staged { id: String, path: PathBuf },
    Published { id: String, target: PathBuf },
    Directory { id: String, path: PathBuf },
}

/// A life that is being run.
pub(super) struct Life {
    pub(super) controller: Client,
    /// `None` where it is the controller's endpoint.
    pub(super) node: Option<Client>,
    pub(super) capabilities: Capabilities,
    pub(super) secrets: Secrets,
    pub(super) report: Report,
    pub(super) undo: Vec<Undo>,
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Life {
    /// The client of the node.
    pub(super) fn node(&self) -> &Client {
        self.node.as_ref().unwrap_or(&self.controller)
    }

    /// Calls an RPC. `judge` says what the answer came to, or why it is wrong.
    pub(super) fn call(
        &mut self,
        step: &str,
        rpc: &str,
        request: Value,
        judge: impl FnOnce(&Value) -> Result<String, Error>,
    ) -> Result<Value, Failure> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        self.call_anyway(step, rpc, request, judge)
    }

    /// Like [`Life::call`], also after a signal: for taking back.
    fn call_anyway(
        &mut self,
        step: &str,
        rpc: &str,
        request: Value,
        judge: impl FnOnce(&Value) -> Result<String, Error>,
    ) -> Result<Value, Failure> {
        let rpc = Rpc::named(rpc)?;
        let mut message = rpc.empty_request();
        merge_json(&mut message, &request)?;
        self.secrets.fill(&rpc, &mut message);
        let hidden = Hidden::of(&message);
        let client = if rpc.service() == "Node" { self.node() } else { &self.controller };
        let answer = client.call(&rpc, &message);
        let took = Some(answer.outcome.elapsed);
        let mut status = answer.outcome.status;
        status.message = hidden.strip(&status.message);
        if !status.is_ok() {
            let code = code_name(status.code);
            self.report.note(step, rpc.name(), code, took, &shown(&status.message));
            return Err(Refused { rpc: rpc.name().to_owned(), status }.into());
        }
        let value = answer.messages.first().map(to_json).unwrap_or_default();
        let judged = judge(&value);
        let said = judged.as_ref().map_or_else(|error| error.message(), String::as_str);
        let said = becket_csi::shape::printable(&hidden.strip(said));
        let outcome = if judged.is_ok() { "OK" } else { "wrong" };
        self.report.note(step, rpc.name(), outcome, took, &said);
        match judged {
            Ok(_) => Ok(value),
            Err(_) => {
                Err(Failure::Wrong(Error::new(Kind::Internal, format!("{}: {said}", rpc.name()))))
            }
        }
    }

    /// Does something itself.
    pub(super) fn here(
        &mut self,
        step: &str,
        work: impl FnOnce() -> Result<String, Error>,
    ) -> Done {
        let start = Instant::now();
        let done = work();
        let took = Some(start.elapsed());
        match done {
            Ok(said) => {
                self.report.note(step, "here", "OK", took, &said);
                Ok(())
            }
            Err(error) => {
                self.report.note(step, "here", "wrong", took, error.message());
                Err(Failure::Wrong(error))
            }
        }
    }

    /// Notes that a step is not taken, and why: once, also when it is come to again.
    pub(super) fn skip(&mut self, step: &str, why: &str) {
        if !self.report.has(step, why) {
            self.report.note(step, "", "skipped", None, why);
        }
    }

    /// Makes a directory for the volume, to be removed again if it was not there.
    pub(super) fn directory(&mut self, id: &str, path: &Path) -> Done {
        if make(path)? {
            self.undo.push(Undo::Directory { id: id.to_owned(), path: path.to_owned() });
        }
        Ok(())
    }

    /// Takes back what uses the volume, and leaves the volume.
    pub(super) fn take_down(&mut self, id: &str) -> Done {
        let uses = |undo: &Undo| match undo {
            Undo::Volume { .. } | Undo::Snapshot { .. } => false,
            Undo::Attached { id: of, .. }
            | Undo::Staged { id: of, .. }
            | Undo::Published { id: of, .. }
            | Undo::Directory { id: of, .. } => of == id,
        };
        let (mine, rest) = std::mem::take(&mut self.undo).into_iter().partition(uses);
        self.undo = rest;
        self.take_back(mine)
    }

    /// Takes back everything, last first.
    pub(super) fn take_all_back(&mut self) -> Done {
        let all = std::mem::take(&mut self.undo);
        self.take_back(all)
    }

    /// A failure keeps nothing else from being taken back; the first one is the error.
    fn take_back(&mut self, what: Vec<Undo>) -> Done {
        let mut first = Ok(());
        for undo in what.into_iter().rev() {
            let done = self.take_one_back(undo);
            if first.is_ok() {
                first = done;
            }
        }
        first
    }

    fn take_one_back(&mut self, undo: Undo) -> Done {
        let (step, rpc, request, of) = match &undo {
            Undo::Directory { path, .. } => {
                let removed = std::fs::remove_dir(path);
                return removed.or_else(|error| self.here("remove", || Err(left(path, &error))));
            }
            Undo::Volume { id } => ("delete", "DeleteVolume", json!({"volume_id": id}), id.clone()),
            Undo::Snapshot { id } => {
                ("delete snapshot", "DeleteSnapshot", json!({"snapshot_id": id}), id.clone())
            }
            Undo::Attached { id, node } => {
                let request = json!({"volume_id": id, "node_id": node});
                ("detach", "ControllerUnpublishVolume", request, format!("{id} from {node}"))
            }
            Undo::Staged { id, path } => {
                let request = json!({"volume_id": id, "staging_target_path": path});
                ("unstage", "NodeUnstageVolume", request, path.display().to_string())
            }
            Undo::Published { id, target } => {
                let request = json!({"volume_id": id, "target_path": target});
                ("unpublish", "NodeUnpublishVolume", request, target.display().to_string())
            }
        };
        let done = self.call_anyway(step, rpc, request, |_| match &undo {
            // The specification: the plugin removes what it made at the target.
            Undo::Published { target, .. } if std::fs::symlink_metadata(target).is_ok() => {
                Err(Error::new(Kind::Internal, format!("`{}` is still there", target.display())))
            }
            _ => Ok(of),
        });
        match done {
            // What was not made, because the call that should have made it failed, is not there.
            Err(Failure::Refused(refused)) if refused.status.code == Code::NotFound => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Says what is left, for a person who wants it so.
    pub(super) fn say_kept(&self) {
        for undo in &self.undo {
            output::say(match undo {
                Undo::Volume { id } => format!("kept: volume {}", shown(id)),
                Undo::Snapshot { id } => format!("kept: snapshot {}", shown(id)),
                Undo::Attached { id, node } => {
                    format!("kept: {} attached to {}", shown(id), shown(node))
                }
                Undo::Staged { id, path } => {
                    format!("kept: {} staged at {}", shown(id), path.display())
                }
                Undo::Published { id, target } => {
                    format!("kept: {} published at {}", shown(id), target.display())
                }
                Undo::Directory { path, .. } => format!("kept: directory {}", path.display()),
            });
        }
    }
}

fn left(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot remove `{}`: {error}", path.display()))
}
