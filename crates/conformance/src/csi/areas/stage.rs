//! `NodeStageVolume` and `NodeUnstageVolume`.

use crate::csi::answer::Answer;
use crate::csi::ask::{self, Access, UNKNOWN};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::content::look;
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need, STAGE};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_sys::mountinfo;
use std::path::Path;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("stage-twice", Must, [CREATE, STAGE, Need::Here] => twice,
        "NodeStageVolume: MUST be idempotent: a volume staged there with the identical \
         volume_capability is OK"),
    check!("stage-other-flags", Must, [CREATE, STAGE, Need::Mount, Need::Here] => other_flags,
        "NodeStageVolume: a volume staged there with another volume_capability is ALREADY_EXISTS"),
    check!("stage-other-filesystem", Must,
        [CREATE, STAGE, Need::Mount, Need::Here] => other_filesystem,
        "NodeStageVolume: a volume staged there with another volume_capability is ALREADY_EXISTS, \
         or FAILED_PRECONDITION where the volume cannot have it"),
    check!("stage-other-access-type", Must,
        [CREATE, STAGE, Need::Mount, Need::Here] => other_access_type,
        "NodeStageVolume: a volume staged there with another volume_capability is ALREADY_EXISTS, \
         or FAILED_PRECONDITION where the volume cannot have it"),
    check!("stage-other-access-mode", Should, [CREATE, STAGE, Need::Here] => other_access_mode,
        "NodeStageVolume: a volume staged there with another volume_capability is ALREADY_EXISTS"),
    check!("stage-unsupported", Must, [CREATE, STAGE, Need::Mount, Need::Here] => unsupported,
        "NodeStageVolume: capabilities that the volume does not support are FAILED_PRECONDITION, \
         and leave nothing mounted"),
    check!("stage-keeps-directory", Judgement, [CREATE, STAGE, Need::Here] => keeps_directory,
        "NodeUnstageVolume: the staging directory is made by the orchestrator and stays its own"),
    check!("unstage-twice", Must, [CREATE, STAGE, Need::Here] => unstage_twice,
        "NodeUnstageVolume: MUST be idempotent; a volume that is not staged there is OK"),
    check!("unstage-never-staged", Must, [CREATE, STAGE, Need::Here] => never_staged,
        "NodeUnstageVolume: a volume that is not staged to the path is OK"),
    check!("unstage-leaves-nothing", Must, [CREATE, STAGE, Need::Here] => leaves_nothing,
        "NodeUnstageVolume: MUST undo the work of NodeStageVolume"),
    check!("unstage-published", Judgement, [CREATE, STAGE, Need::Here] => published,
        "NodeUnstageVolume: is to be called after all NodeUnpublishVolume; before that, it must \
         not take the volume from the workload"),
];

async fn stage_with(
    g: &Ground,
    here: &OnNode,
    capability: csi::VolumeCapability,
) -> Answer<csi::NodeStageVolumeResponse> {
    let request =
        csi::NodeStageVolumeRequest { volume_capability: Some(capability), ..here.stage_request() };
    g.calls.node_stage_volume(request).await
}

async fn new_staged(g: &Ground, access: Access) -> Verdict<OnNode> {
    let volume = g.volume(access).await?;
    g.staged(volume).await
}

async fn twice(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let volume = g.volume(access).await?;
        let here = g.attached(volume).await?;
        g.calls.node_stage_volume(here.stage_request()).await.ok()?;
        let before = mounts_at(&here.staging)?;
        let answer = g.calls.node_stage_volume(here.stage_request()).await;
        answer.when("the same again").ok()?;
        let after = mounts_at(&here.staging)?;
        let asked = "count the mounts at the staging path after staging twice";
        want(before == after, asked, after.to_string(), before.to_string())?;
    }
    Ok(())
}

/// Mounts that are attached at `path` or below, one above the other included.
fn mounts_at(path: &str) -> Verdict<usize> {
    let table = mountinfo::read().map_err(becket_core::Error::from)?;
    Ok(table.iter().filter(|entry| entry.point.starts_with(path)).count())
}

async fn other_flags(g: &Ground) -> Verdict {
    let here = new_staged(g, Access::Mount).await?;
    let flagged = ask::with_flags(&here.volume.capability, &["noatime"]);
    let answer = stage_with(g, &here, flagged).await;
    answer.when("again, with mount flag `noatime`").is(&[Code::AlreadyExists])
}

/// For a capability that is another one and that the volume cannot have either.
const OTHER: &[Code] = &[Code::AlreadyExists, Code::FailedPrecondition, Code::InvalidArgument];

async fn other_filesystem(g: &Ground) -> Verdict {
    let here = new_staged(g, Access::Mount).await?;
    let table = mountinfo::read().map_err(becket_core::Error::from)?;
    let staged = table.iter().find(|entry| entry.point.starts_with(&here.staging));
    let other = match staged.map(|entry| entry.kind.as_str()) {
        Some("ext4") => "xfs",
        _ => "ext4",
    };
    let capability = ask::capability(Access::Mount, other);
    let answer = stage_with(g, &here, capability).await;
    answer.when(format!("again, with fs_type `{other}`")).is(OTHER)
}

async fn other_access_type(g: &Ground) -> Verdict {
    let here = new_staged(g, Access::Mount).await?;
    let answer = stage_with(g, &here, g.capability(Access::Block)).await;
    answer.when("again, with block instead of mount").is(OTHER)
}

async fn other_access_mode(g: &Ground) -> Verdict {
    let here = new_staged(g, g.access()).await?;
    let other = g.with_mode(here.volume.access, Mode::SingleNodeReaderOnly);
    let answer = stage_with(g, &here, other).await;
    answer.when("again, with SINGLE_NODE_READER_ONLY").is(OTHER)
}

async fn unsupported(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let here = g.attached(volume).await?;
    let strange = ask::capability(Access::Mount, "no-such-fs");
    let answer = stage_with(g, &here, strange).await.when("fs_type `no-such-fs`");
    answer.is(&[Code::FailedPrecondition, Code::InvalidArgument])?;
    let asked = "count the mounts at the staging path after a refused NodeStageVolume";
    let left = mounts_at(&here.staging)?;
    want(left == 0, asked, left.to_string(), "0")
}

async fn keeps_directory(g: &Ground) -> Verdict {
    let here = new_staged(g, g.access()).await?;
    g.leave(&here).await?;
    let there = look(Path::new(&here.staging))?.is_some();
    want(there, "look at the staging directory after NodeUnstageVolume", "nothing", "it is there")
}

async fn unstage_twice(g: &Ground) -> Verdict {
    let here = new_staged(g, g.access()).await?;
    g.calls.node_unstage_volume(here.unstage_request()).await.ok()?;
    let answer = g.calls.node_unstage_volume(here.unstage_request()).await;
    answer.when("the same again").ok().map(drop)
}

async fn never_staged(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.attached(volume).await?;
    let answer = g.calls.node_unstage_volume(here.unstage_request()).await;
    answer.when("a volume that was never staged").ok()?;
    let request = csi::NodeUnstageVolumeRequest {
        staging_target_path: format!("{}/{UNKNOWN}", here.staging),
        ..here.unstage_request()
    };
    let answer = g.calls.node_unstage_volume(request).await;
    answer.when("a path where nothing is at all").ok().map(drop)
}

async fn leaves_nothing(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let here = new_staged(g, access).await?;
        g.calls.node_unstage_volume(here.unstage_request()).await.ok()?;
        let left = mounts_at(&here.staging)?;
        let asked = "count the mounts at the staging path after NodeUnstageVolume";
        want(left == 0, asked, left.to_string(), "0")?;
        let entries = std::fs::read_dir(&here.staging).map_or(0, Iterator::count);
        let asked = "count the files in the staging directory after NodeUnstageVolume";
        want(entries == 0, asked, entries.to_string(), "0")?;
    }
    Ok(())
}

async fn published(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    here.write(0, 1)?;
    let answer = g.calls.node_unstage_volume(here.unstage_request()).await;
    let answer = answer.when("a volume that is published");
    if answer.result.is_ok() {
        // A driver whose publications do not need the stage may undo that.
        here.expect_there()?;
        return here.expect(0, 1, "the published volume after NodeUnstageVolume");
    }
    answer.is(&[Code::FailedPrecondition])?;
    if mounts_at(&here.staging)? == 0 && here.volume.access == Access::Mount {
        return skip("the driver does not mount at the staging path");
    }
    here.expect(0, 1, "the published volume after a refused NodeUnstageVolume")
}
