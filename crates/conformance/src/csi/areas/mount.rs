//! Published filesystems: their size, where they end, and how they are mounted.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::content::fill;
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, MOUNT_GROUP, Need, STAGE};
use crate::csi::on_node::{OnNode, own};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub(super) const CHECKS: &[Check] = &[
    check!("mount-size", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Limit, Need::Here] => size,
        "NodePublishVolume: a filesystem offers what the volume has, not more and not much less"),
    check!("mount-full-at-capacity", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Limit, Need::Here] => full,
        "NodePublishVolume: a volume ends at its capacity; writing beyond fails"),
    check!("mount-flags-applied", Must,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => flags_applied,
        "VolumeCapability: mount_flags are the mount options of the volume, or the call fails"),
    check!("mount-flags-unknown", Judgement,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => flags_unknown,
        "VolumeCapability: mount flags that do not exist cannot be honoured, so the call fails \
         and mounts nothing"),
    check!("mount-group", Should, [CREATE, MOUNT_GROUP, Need::Mount, Need::Here] => group,
        "VolumeCapability: with VOLUME_MOUNT_GROUP, entries of the filesystem are readable and \
         writable by volume_mount_group"),
    check!("mount-filesystem", Must,
        [CREATE, Need::NodeService, Need::Mount, Need::Here] => filesystem,
        "VolumeCapability: a volume with an fs_type is mounted with that filesystem"),
];

async fn size(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    let capacity = u64::try_from(here.volume.capacity).unwrap_or(0);
    if capacity == 0 {
        return skip("the driver does not say the volume's capacity");
    }
    let seen = here.size()?;
    let asked = "look at the size of the published filesystem";
    let got = format!("{seen} bytes");
    let fits = seen <= capacity && seen >= capacity / 2;
    want(fits, asked, got, format!("at most {capacity} bytes, and more than half of that"))
}

async fn full(g: &Ground) -> Verdict {
    const MOST: u64 = 2 << 30;
    let here = g.new_published(Access::Mount).await?;
    let capacity = u64::try_from(here.volume.capacity).unwrap_or(0).max(g.options.size);
    if capacity > MOST {
        return skip("more than 2 GiB would have to be written; take a smaller --size");
    }
    let written = fill(Path::new(&here.target), capacity)?;
    let asked = "write until the filesystem is full";
    let got = format!("{written} bytes went in");
    want(written <= capacity, asked, got, format!("an error before {capacity} bytes"))
}

/// The volume published with these mount flags, in every call that has a capability; nothing when
/// the driver refuses one of them.
async fn with_flags(g: &Ground, flags: &[&str]) -> Verdict<Option<OnNode>> {
    let mut request = g.create_request(Access::Mount);
    request.volume_capabilities = vec![ask::with_flags(&g.capability(Access::Mount), flags)];
    let answer = g.calls.create_volume(request.clone()).await;
    let Ok(answer) = answer.result else { return Ok(None) };
    let volume: Volume = crate::csi::ground::made(request, answer)?;
    let here = g.attached(volume).await?;
    if g.has(STAGE) && g.calls.node_stage_volume(here.stage_request()).await.result.is_err() {
        return Ok(None);
    }
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    Ok(answer.result.is_ok().then_some(here))
}

async fn flags_applied(g: &Ground) -> Verdict {
    let Some(here) = with_flags(g, &["noexec", "nosuid"]).await? else {
        return skip("the driver refuses mount flags");
    };
    let found = own(rustix::fs::statvfs(&here.target).map_err(Into::into), "look at the mount")?;
    use rustix::fs::StatVfsMountFlags as Flags;
    let wanted = Flags::NOEXEC | Flags::NOSUID;
    let got = format!("{:?}", found.f_flag);
    let asked = "look at the options of a volume published with `noexec,nosuid`";
    want(found.f_flag.contains(wanted), asked, got, "noexec and nosuid")
}

async fn flags_unknown(g: &Ground) -> Verdict {
    let published = with_flags(g, &["becket-no-such-flag"]).await?;
    let asked = "create, stage and publish a volume with mount flag `becket-no-such-flag`";
    want(published.is_none(), asked, "all answered OK", "an error")
}

async fn group(g: &Ground) -> Verdict {
    const GROUP: u32 = 4321;
    let mut request = g.create_request(Access::Mount);
    let capability = ask::edit_mount(&g.capability(Access::Mount), |mount| {
        mount.volume_mount_group = GROUP.to_string();
    });
    request.volume_capabilities = vec![capability];
    let volume = g.volume_as(request).await?;
    let here = g.published(volume).await?;
    let file = Path::new(&here.target).join("new");
    own(std::fs::write(&file, "x"), "write into the published volume")?;
    let found = own(std::fs::metadata(&here.target), "look at the published volume")?;
    let entry = own(std::fs::metadata(&file), "look at the new file")?;
    let mode = found.permissions().mode() & 0o7777;
    let fits = found.gid() == GROUP && mode & 0o070 == 0o070 && entry.gid() == GROUP;
    let (directory, file) = (found.gid(), entry.gid());
    let got = format!("the root has group {directory} and mode {mode:o}, a new file group {file}");
    let asked = format!("look at a volume published with volume_mount_group {GROUP}");
    want(fits, asked, got, format!("group {GROUP}, which can read and write"))
}

async fn filesystem(g: &Ground) -> Verdict {
    let wanted = match g.options.fs_type.as_str() {
        "" => "ext4",
        given => given,
    };
    let mut request = g.create_request(Access::Mount);
    request.volume_capabilities = vec![ask::capability(Access::Mount, wanted)];
    let answer = g.calls.create_volume(request.clone()).await;
    if answer.result.is_err() {
        return skip(format!("the driver makes no {wanted} volumes: {}", answer.shown()));
    }
    let volume = crate::csi::ground::made(request, answer.ok()?)?;
    let here = g.published(volume).await?;
    let table = becket_sys::mountinfo::read().map_err(becket_core::Error::from)?;
    let mounted = table.iter().rev().find(|entry| entry.point == Path::new(&here.target));
    let got = mounted.map_or("nothing is mounted".to_owned(), |entry| entry.kind.clone());
    let asked = format!("look at the filesystem of a volume with fs_type `{wanted}`");
    want(got == wanted, asked, got, wanted)
}
