//! The second process: hears one operation, does it with the ordinary engine, and tells how it went.

use super::line::{Line, Message};
use super::{Operation, Request};
use crate::backend::Backend;
use crate::engine::Engine;
use crate::pool::State;
use crate::progress::Progress;
use crate::{Error, Kind, Name, Result};
use becket_sys::expendable;
use serde::Serialize;
use serde_json::Value;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The line to the process that asked. There is one operation in a process, so there is one line.
static LINE: OnceLock<Line> = OnceLock::new();

/// Does the one operation that this process was started for. `backends` are those that reach their
/// media themselves.
pub fn perform(backends: Vec<Box<dyn Backend>>) -> ExitCode {
    let Ok(socket) = expendable::socket_to_parent() else {
        return ExitCode::FAILURE;
    };
    let Ok(line) = Line::over(&socket, None) else {
        return ExitCode::FAILURE;
    };
    let line = LINE.get_or_init(|| line);
    if log::set_logger(&ToParent).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    let message = match line.hear::<Request>() {
        Ok(request) => answer(request, backends),
        Err(error) => failed(&super::garbled_request(error), str::to_owned),
    };
    let told = line.say(&message);
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn answer(request: Request, backends: Vec<Box<dyn Backend>>) -> Message {
    let engine = Engine::new(State::new(request.state), backends)
        .waiting(request.wait)
        .while_wanted(wanted)
        .reporting(Box::new(ToParent));
    let in_words = |text: &str| {
        engine.backends.iter().fold(text.to_owned(), |text, backend| backend.in_words(text))
    };
    match engine.perform(request.pool.as_ref(), request.operation) {
        Ok(value) => Message::Done(each_text(value, &in_words)),
        Err(error) => failed(&error, in_words),
    }
}

fn failed(error: &Error, in_words: impl Fn(&str) -> String) -> Message {
    let hint = error.advice().map(&in_words);
    Message::Failed { kind: error.kind(), message: in_words(error.message()), hint }
}

/// The value with every text in it changed.
fn each_text(value: Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(all) => all.into_iter().map(|one| each_text(one, change)).collect(),
        Value::Object(all) => {
            all.into_iter().map(|(key, one)| (key, each_text(one, change))).collect()
        }
        other => other,
    }
}

/// Nobody there any more means that nobody wants it.
fn wanted() -> bool {
    LINE.get().is_some_and(|line| line.question(&Message::Wanted) == Some(true))
}

struct ToParent;

impl Progress for ToParent {
    /// Goes on when nobody is there any more: a retry takes what is finished.
    fn advance(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        let Some(line) = LINE.get().filter(|line| line.is_due()) else {
            return ControlFlow::Continue(());
        };
        let progress = Message::Progress { what: what.to_owned(), done, total };
        match line.question(&progress) {
            Some(false) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl log::Log for ToParent {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        let (level, text) = (record.level().to_string(), record.args().to_string());
        let _ = LINE.get().map(|line| line.say(&Message::Log { level, text }));
    }

    fn flush(&self) {}
}

fn told(outcome: Result<impl Serialize>) -> Result<Value> {
    outcome.and_then(|value| serde_json::to_value(value).map_err(super::garbled))
}

/// Ranges are told while the snapshot's bytes are read, which cannot be handed over.
fn untellable<T>(ranges: Result<T>) -> Result<Value> {
    ranges.and_then(|_| {
        Err(Error::new(Kind::Unsupported, "what changed is not told of snapshots on a file server"))
    })
}

impl Engine {
    fn perform(&self, pool: Option<&Name>, operation: Operation) -> Result<Value> {
        match operation {
            Operation::CreatePool(new) => told(self.create_pool(&new)),
            Operation::Unmount(path) => told(super::super::remote::unmount_here(&path)),
            Operation::UnmountLazily(path) => {
                told(becket_sys::mount::unmount_lazily(&path).map_err(Error::from))
            }
            Operation::ShareUsage(target) => told(self.share_usage_here(&target)),
            Operation::MountStatic { share, target, publication } => {
                told(self.mount_static_here(&share, &target, &publication))
            }
            operation => match pool {
                Some(pool) => self.perform_on(pool, operation),
                None => {
                    Err(Error::new(Kind::Internal, "an operation without a pool was handed over"))
                }
            },
        }
    }

    fn perform_on(&self, pool: &Name, operation: Operation) -> Result<Value> {
        match operation {
            Operation::DeletePool => told(self.delete_pool(pool)),
            Operation::Volume(name) => told(self.volume(pool, &name)),
            Operation::FindVolume(name) => told(self.find_volume(pool, &name)),
            Operation::Volumes => told(self.volumes(pool)),
            Operation::Snapshot(name) => told(self.snapshot(pool, &name)),
            Operation::Snapshots => told(self.snapshots(pool)),
            Operation::Allocated(volumes) => told(self.allocated(pool, &volumes)),
            Operation::LastingPath(name) => told(self.lasting_path(pool, &name)),
            Operation::Mounts(volume) => told(self.mounts(pool, &volume)),
            Operation::Abilities => told(self.abilities(pool)),
            Operation::Capacity => told(self.capacity(pool)),
            Operation::Create(new) => told(self.create(pool, &new)),
            Operation::Expand { name, bytes, filesystem: true } => {
                told(self.expand(pool, &name, bytes))
            }
            Operation::Expand { name, bytes, filesystem: false } => {
                told(self.expand_storage(pool, &name, bytes))
            }
            Operation::Delete(name) => told(self.delete(pool, &name)),
            Operation::Claim { name, claim } => told(self.claim(pool, &name, &claim)),
            Operation::ReleaseClaim { name, node } => {
                told(self.release_claim(pool, &name, node.as_deref()))
            }
            Operation::Modify { name, settings } => {
                told(self.modify(pool, &name, |_| Ok(settings)))
            }
            Operation::Trash => told(self.trash(pool)),
            Operation::RestoreTrash(id) => told(self.restore_trash(pool, id)),
            Operation::EmptyTrash { all } => told(self.empty_trash(pool, all)),
            Operation::Reconcile => told(self.reconcile(pool)),
            Operation::Thaw => told(self.thaw(pool)),
            Operation::VolumeHealth(name) => told(self.volume_health(pool, &name)),
            Operation::UnhealthyVolumes => told(self.unhealthy_volumes(pool)),
            Operation::PoolHealth => told(Ok(self.pool_health(pool))),
            operation => self.perform_on_paths(pool, operation),
        }
    }

    fn perform_on_paths(&self, pool: &Name, operation: Operation) -> Result<Value> {
        match operation {
            Operation::Stage { name, staging, how } => {
                told(self.stage_as(pool, &name, &staging, &how))
            }
            Operation::Publish { name, staging, target, publication } => {
                told(self.publish(pool, &name, &staging, &target, &publication))
            }
            Operation::Mount { name, make, target, publication } => {
                told(self.mount(pool, &name, make.as_deref(), &target, &publication))
            }
            Operation::MountInline { new, target, publication } => {
                told(self.mount_inline(pool, &new, &target, &publication))
            }
            Operation::EndInline { name, target } => {
                told(self.end_inline(pool, &name, target.as_ref()))
            }
            Operation::Usage { name, place } => told(self.usage(pool, &name, &place)),
            Operation::IsAt { name, place } => told(self.is_at(pool, &name, &place)),
            operation => self.perform_on_snapshots(pool, operation),
        }
    }

    fn perform_on_snapshots(&self, pool: &Name, operation: Operation) -> Result<Value> {
        match operation {
            Operation::CreateSnapshot { name, volume, labels } => {
                told(self.create_snapshot_labelled(pool, &name, &volume, labels))
            }
            Operation::DeleteSnapshot(name) => told(self.delete_snapshot(pool, &name)),
            Operation::CreateGroupSnapshot { group, members } => {
                told(self.create_group_snapshot(pool, &group, &members))
            }
            Operation::Group(group) => told(self.group(pool, &group)),
            Operation::DeleteGroupSnapshot(group) => told(self.delete_group_snapshot(pool, &group)),
            Operation::AllocatedRanges { snapshot, from } => {
                untellable(self.allocated_ranges(pool, &snapshot, from))
            }
            Operation::ChangedRanges { base, target, from } => {
                untellable(self.changed_ranges(pool, &base, &target, from))
            }
            other => Err(Error::new(Kind::Internal, format!("{other:?} cannot be done apart"))),
        }
    }
}
