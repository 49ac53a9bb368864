//! `NodePublishVolume`: what is at the target path, and what must be before it.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, fail, skip, want};
use crate::csi::content::look;
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need, STAGE};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use std::path::Path;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("publish", Must, [CREATE, Need::NodeService, Need::Here] => publish,
        "NodePublishVolume: the SP SHALL place the mounted directory, or the block device, at \
         target_path, which it creates"),
    check!("publish-twice", Must, [CREATE, Need::NodeService, Need::Here] => twice,
        "NodePublishVolume: MUST be idempotent: a volume published there with the same arguments \
         is OK, and published once"),
    check!("publish-without-staging-path", Must,
        [CREATE, STAGE, Need::Here] => without_staging_path,
        "NodePublishVolume: without staging_target_path, where STAGE_UNSTAGE_VOLUME is set, it is \
         FAILED_PRECONDITION"),
    check!("publish-before-stage", Should, [CREATE, STAGE, Need::Here] => before_stage,
        "NodePublishVolume: NodeStageVolume MUST have succeeded before; until then it is \
         FAILED_PRECONDITION, and nothing is published"),
    check!("publish-persists", Must, [CREATE, Need::NodeService, Need::Here] => persists,
        "NodePublishVolume: the CO can use the volume as described: what was written is there the \
         next time"),
    check!("publish-readonly", Must,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => readonly,
        "NodePublishVolume: readonly indicates that the SP MUST publish the volume in readonly \
         mode"),
    check!("publish-readonly-block", Must,
        [CREATE, Need::NodeService, Need::Block, Need::Here] => readonly_block,
        "NodePublishVolume: readonly indicates that the SP MUST publish the volume in readonly \
         mode"),
    check!("publish-reader-only-mode", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => reader_only,
        "AccessMode: SINGLE_NODE_READER_ONLY can only be published as readonly, so it is refused \
         or not writable"),
    check!("publish-unsupported", Must,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => unsupported,
        "NodePublishVolume: capabilities that the volume does not support are \
         FAILED_PRECONDITION, and leave nothing at target_path"),
    check!("publish-over-empty-directory", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => over_directory,
        "NodePublishVolume: a target directory that an earlier attempt left is no obstacle"),
    check!("publish-long-path", Must, [CREATE, Need::NodeService, Need::Here] => long_path,
        "NodePublishVolume: an SP MUST accept paths of at least 128 bytes, and SHOULD those of \
         the operating system"),
];

async fn publish(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let volume = g.volume(access).await?;
        let here = g.staged(volume).await?;
        g.calls.node_publish_volume(here.publish_request()).await.ok()?;
        here.expect_there()?;
        here.write(0, 1)?;
        here.expect(0, 1, "the published volume")?;
    }
    Ok(())
}

async fn twice(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let here = g.new_published(access).await?;
        let answer = g.calls.node_publish_volume(here.publish_request()).await;
        answer.when("the same again").ok()?;
        here.expect_there()?;
        g.calls.node_unpublish_volume(here.unpublish_request()).await.ok()?;
        here.expect_gone()?;
    }
    Ok(())
}

async fn without_staging_path(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.staged(volume).await?;
    let request = csi::NodePublishVolumeRequest {
        staging_target_path: String::new(),
        ..here.publish_request()
    };
    let answer = g.calls.node_publish_volume(request).await;
    answer.when("without staging_target_path").is(&[Code::FailedPrecondition])
}

async fn before_stage(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.attached(volume).await?;
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    answer.when("a volume that is not staged").is(&[Code::FailedPrecondition])?;
    here.expect_gone()
}

async fn persists(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let here = g.new_published(access).await?;
        here.write(0, 1)?;
        here.write(2, 2)?;
        g.take_down(&here).await?;
        let again = g.published(here.volume).await?;
        again.expect(0, 1, "the volume after it was unstaged and staged again")?;
        again.expect(2, 2, "the volume after it was unstaged and staged again")?;
    }
    Ok(())
}

async fn readonly(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let here = g.staged(volume).await?;
    g.calls.node_publish_volume(here.readonly_request()).await.when("readonly").ok()?;
    here.expect_there()?;
    let error = here.refuses_writing();
    let read_only = error.as_ref().is_some_and(is_read_only);
    let got = error.map_or("it can be written".to_owned(), |error| error.to_string());
    want(read_only, "write into a volume published readonly", got, "read-only file system")
}

fn is_read_only(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ReadOnlyFilesystem
}

async fn readonly_block(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Block).await?;
    let here = g.staged(volume).await?;
    let answer = g.calls.node_publish_volume(here.readonly_request()).await.when("block, readonly");
    if matches!(answer.code(), Code::InvalidArgument | Code::FailedPrecondition) {
        return skip(format!("the driver refuses it: {}", answer.shown()));
    }
    answer.is(&[Code::Ok, Code::InvalidArgument, Code::FailedPrecondition])?;
    here.expect_there()?;
    let refuses = here.refuses_writing().is_some();
    let asked = "write to a device published readonly";
    want(refuses, asked, "it can be written", "an error")
}

async fn reader_only(g: &Ground) -> Verdict {
    let mut request = g.create_request(Access::Mount);
    let mode = g.with_mode(Access::Mount, Mode::SingleNodeReaderOnly);
    request.volume_capabilities = vec![mode];
    let answer = g.calls.create_volume(request.clone()).await;
    if answer.result.is_err() {
        return skip(format!("the driver makes no such volumes: {}", answer.shown()));
    }
    let volume = crate::csi::ground::made(request, answer.ok()?)?;
    let here = g.staged(volume).await?;
    if g.calls.node_publish_volume(here.publish_request()).await.result.is_err() {
        return Ok(());
    }
    let refuses = here.refuses_writing().is_some();
    let asked = "write into a volume published with SINGLE_NODE_READER_ONLY";
    want(refuses, asked, "it can be written", "an error")
}

async fn unsupported(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let here = g.staged(volume).await?;
    let capability = ask::capability(Access::Mount, "no-such-fs");
    let request = csi::NodePublishVolumeRequest {
        volume_capability: Some(capability),
        ..here.publish_request()
    };
    let answer = g.calls.node_publish_volume(request).await.when("fs_type `no-such-fs`");
    answer.is(&[Code::FailedPrecondition, Code::InvalidArgument])?;
    left_nothing(&here.target)?;
    let request = csi::NodePublishVolumeRequest {
        volume_capability: Some(g.capability(Access::Block)),
        ..here.publish_request()
    };
    let answer = g.calls.node_publish_volume(request).await.when("block, of a mount volume");
    answer.is(&[Code::FailedPrecondition, Code::InvalidArgument])?;
    left_nothing(&here.target)
}

fn left_nothing(target: &str) -> Verdict {
    let there = look(Path::new(target))?.is_some();
    let asked = "look at target_path after a refused NodePublishVolume";
    want(!there, asked, "something is there", "nothing")
}

async fn over_directory(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let here = g.staged(volume).await?;
    crate::csi::on_node::own(std::fs::create_dir(&here.target), "make the target directory")?;
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    answer.when("an empty directory is at target_path").ok()?;
    here.expect_there()
}

async fn long_path(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut here = g.staged(volume).await?;
    let parent = Path::new(&here.target).parent().map(Path::to_owned).unwrap_or_default();
    let leaf = "x".repeat(200usize.saturating_sub(parent.as_os_str().len()).max(1));
    here.target = parent.join(leaf).display().to_string();
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    answer.when(format!("a target_path of {} bytes", here.target.len())).ok()?;
    here.expect_there()?;
    let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
    answer.when("a long target_path").ok()?;
    match look(Path::new(&here.target))? {
        Some(_) => Err(fail(
            "look at a long target_path after NodeUnpublishVolume",
            "it is still there",
            "nothing",
        )),
        None => Ok(()),
    }
}
