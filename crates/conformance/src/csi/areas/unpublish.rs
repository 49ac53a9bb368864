//! `NodeUnpublishVolume`: nothing stays behind, whatever was at the target path.

use crate::csi::ask::Access;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::content::look;
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need};
use crate::csi::on_node::own;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_sys::mount;
use std::os::fd::AsFd;
use std::path::Path;

pub(super) const CHECKS: &[Check] = &[
    check!("unpublish-removes-target", Must,
        [CREATE, Need::NodeService, Need::Here] => removes_target,
        "NodeUnpublishVolume: the SP MUST delete the file or directory it created at target_path"),
    check!("unpublish-twice", Must, [CREATE, Need::NodeService, Need::Here] => twice,
        "NodeUnpublishVolume: MUST be idempotent"),
    check!("unpublish-never-published", Must,
        [CREATE, Need::NodeService, Need::Here] => never_published,
        "NodeUnpublishVolume: MUST be idempotent, so a volume that is not published there is OK"),
    check!("unpublish-one-of-two", Must, [CREATE, Need::NodeService, Need::Here] => one_of_two,
        "NodeUnpublishVolume: undoes the NodePublishVolume of its target_path, and no other"),
    check!("unpublish-stacked", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => stacked,
        "NodeUnpublishVolume: after OK nothing is mounted at target_path, also where something \
         was mounted twice"),
    check!("unpublish-busy", Must, [CREATE, Need::NodeService, Need::Mount, Need::Here] => busy,
        "NodeUnpublishVolume: MUST undo the work of NodePublishVolume, or fail and be repeated"),
    check!("unpublish-keeps-strange-files", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => keeps_files,
        "NodeUnpublishVolume: the SP deletes what it created; a file that somebody else put at an \
         unmounted target is not that"),
];

async fn removes_target(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let here = g.new_published(access).await?;
        g.calls.node_unpublish_volume(here.unpublish_request()).await.ok()?;
        here.expect_gone()?;
    }
    Ok(())
}

async fn twice(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let here = g.new_published(access).await?;
        g.calls.node_unpublish_volume(here.unpublish_request()).await.ok()?;
        let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
        answer.when("the same again").ok()?;
    }
    Ok(())
}

async fn never_published(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.staged(volume).await?;
    let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
    answer.when("a volume that was never published").ok().map(drop)
}

async fn one_of_two(g: &Ground) -> Verdict {
    if !g.survey.multi_writer() {
        return skip("the driver does not claim SINGLE_NODE_MULTI_WRITER on both sides");
    }
    let mut request = g.create_request(g.access());
    request.volume_capabilities = vec![g.with_mode(g.access(), Mode::SingleNodeMultiWriter)];
    let volume = g.volume_as(request).await?;
    let one = g.published(volume).await?;
    let other = g.elsewhere(&one)?;
    g.calls.node_publish_volume(other.publish_request()).await.prepared()?;
    one.write(0, 1)?;
    other.expect(0, 1, "the volume at its second target, after a write at the first")?;
    g.calls.node_unpublish_volume(one.unpublish_request()).await.ok()?;
    one.expect_gone()?;
    other.expect_there()?;
    other.expect(0, 1, "the volume at its second target, after the first was unpublished")
}

async fn stacked(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    let path = Path::new(&here.target);
    let directory = own(std::fs::File::open(path), "open the published volume")?;
    let view = mount::view_of(directory.as_fd(), path).map_err(becket_core::Error::from)?;
    view.attach(directory.as_fd(), path).map_err(becket_core::Error::from)?;
    drop(directory);
    let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
    let code = answer.shown();
    let gone = look(path)?.is_none();
    let asked = "NodeUnpublishVolume of a target path with two mounts, then look there";
    let got = format!("{code}, and something is still there");
    want(gone || answer.result.is_err(), asked, got, "nothing there, or an error")
}

async fn busy(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    here.write(0, 1)?;
    let file = own(std::fs::File::open(&here.target), "open the published volume")?;
    let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
    let refused = answer.result.is_err();
    if !refused {
        here.expect_gone()?;
    }
    drop(file);
    if refused {
        let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
        answer.when("again, once the volume is not busy any more").ok()?;
        here.expect_gone()?;
    }
    Ok(())
}

async fn keeps_files(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let here = g.staged(volume).await?;
    let directory = Path::new(&here.target);
    let file = directory.join("somebody's");
    let make = || {
        std::fs::create_dir(directory)?;
        std::fs::write(&file, "data")
    };
    own(make(), "put a file at the target path")?;
    let request: csi::NodeUnpublishVolumeRequest = here.unpublish_request();
    let answer = g.calls.node_unpublish_volume(request).await;
    let kept = file.exists();
    let code = answer.shown();
    let clean = || {
        std::fs::remove_file(&file)?;
        std::fs::remove_dir(directory)
    };
    let _ = clean();
    let asked = "NodeUnpublishVolume of a directory with a file in it, where nothing is mounted";
    want(kept, asked, format!("{code}, and the file is gone"), "the file is still there")
}
