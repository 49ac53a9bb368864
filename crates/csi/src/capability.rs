//! How a volume is to be used: `VolumeCapability`, read and judged.

use crate::driver::Driver;
use crate::protocol::csi::VolumeCapability;
use crate::protocol::csi::volume_capability::AccessType;
use crate::protocol::csi::volume_capability::access_mode::Mode;
use becket_core::error::shown;
use becket_core::mount_flags::MountFlags;
use becket_core::record::Content;
use becket_core::{Error, Kind, Result};

/// A well-formed capability. Whether a driver or a volume has it is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// As a device; else as a filesystem.
    pub block: bool,
    /// The filesystem's type; empty where it is left open.
    pub filesystem: String,
    /// Who may use it at once.
    pub mode: Mode,
    /// Words for its mount.
    pub flags: Vec<String>,
    /// The group that gets it; empty for none.
    pub group: String,
}

impl Capability {
    /// Reads a capability. `Invalid` when it is missing or a part of it is.
    pub fn read(given: Option<&VolumeCapability>) -> Result<Capability> {
        let missing = |what: &str| Error::new(Kind::Invalid, format!("the {what} is missing"));
        let given = given.ok_or_else(|| missing("volume capability"))?;
        let mode = given.access_mode.as_ref().ok_or_else(|| missing("access mode"))?;
        let mode = match Mode::try_from(mode.mode) {
            Ok(Mode::Unknown) => return Err(missing("access mode")),
            Ok(mode) => mode,
            Err(_) => {
                let mode = mode.mode;
                return Err(Error::new(Kind::Invalid, format!("access mode {mode} is not known")));
            }
        };
        let open = Capability {
            block: false,
            filesystem: String::new(),
            mode,
            flags: Vec::new(),
            group: String::new(),
        };
        match given.access_type.as_ref().ok_or_else(|| missing("access type"))? {
            AccessType::Block(_) => Ok(Capability { block: true, ..open }),
            AccessType::Mount(mount) => Ok(Capability {
                filesystem: mount.fs_type.clone(),
                flags: mount.mount_flags.clone(),
                group: mount.volume_mount_group.clone(),
                ..open
            }),
        }
    }

    /// Reads all capabilities of a request. `Invalid` when there is none.
    pub fn read_all(given: &[VolumeCapability]) -> Result<Vec<Capability>> {
        match given.is_empty() {
            true => Err(Error::new(Kind::Invalid, "the volume capabilities are missing")),
            false => given.iter().map(|one| Capability::read(Some(one))).collect(),
        }
    }

    /// `Invalid` when no volume of the driver can be used like this that holds `usual` where the capability
    /// leaves that open.
    pub fn suits(&self, driver: Driver, usual: Content) -> Result<()> {
        let refuse = |what: String| Err(Error::new(Kind::Invalid, what));
        // The words are read for what the volume would hold.
        let content = self.content(driver)?.unwrap_or(usual);
        // Every node mounts a server's directory; an image on it is one node's at a time.
        let shared = driver.is_shared() && content == Content::Directory;
        if self.shared_by_nodes() && !shared {
            let mode = self.mode.as_str_name();
            let one = "a volume with a filesystem of its own is used by one node at a time";
            let why = if driver.is_shared() { one } else { "volumes are on one node" };
            return refuse(format!("access mode {mode} is not possible: {why}"));
        }
        if self.block && !driver.has_block() {
            return refuse(format!("`{}` has no raw block volumes", driver.name()));
        }
        MountFlags::read(&self.flags, content)?;
        self.group().map(drop)
    }

    /// What a volume of the driver must hold to be used like this; `None` where that is open.
    pub fn content(&self, driver: Driver) -> Result<Option<Content>> {
        if self.block {
            return Ok(Some(Content::Block));
        }
        content_of(driver, &self.filesystem)
    }

    /// `WrongState` when the volume, which holds `content`, cannot be used like this.
    pub fn fits(&self, driver: Driver, content: Content) -> Result<()> {
        self.suits(driver, content)?;
        let block = content == Content::Block;
        let fits =
            block == self.block && self.content(driver)?.is_none_or(|wanted| wanted == content);
        match fits {
            true => MountFlags::read(&self.flags, content).map(drop),
            false => {
                let wanted = if self.block { "block" } else { self.filesystem.as_str() };
                let wanted = if wanted.is_empty() { "a filesystem" } else { wanted };
                Err(Error::new(
                    Kind::WrongState,
                    format!("the volume holds {} and is asked for as {wanted}", content.name()),
                ))
            }
        }
    }

    /// The group that gets the volume. `Invalid` when it is no number.
    pub fn group(&self) -> Result<Option<u32>> {
        if self.group.is_empty() {
            return Ok(None);
        }
        self.group.parse().map(Some).map_err(|_| {
            let shown = shown(&self.group);
            Error::new(Kind::Invalid, format!("volume mount group `{shown}` is no group's number"))
        })
    }

    /// True when the volume is to be at one path of the node alone, section A5's table: the modes
    /// of one node but for the one that is of several writers.
    pub fn exclusive(&self) -> bool {
        !self.shared_by_nodes() && self.mode != Mode::SingleNodeMultiWriter
    }

    /// True for the modes that never write.
    pub fn reads_only(&self) -> bool {
        matches!(self.mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
    }

    /// The words of it that nothing but the request knows: to tell a repeat from another request. Mount
    /// flags are no secret here, because only those of a list are taken. The group is not among them: a
    /// volume is staged once for pods of several groups, and may be staged again for another one.
    pub fn words(&self) -> String {
        let (mode, flags) = (self.mode.as_str_name(), self.flags.join(","));
        format!("{mode} flags={flags} fs={}", self.filesystem)
    }

    fn shared_by_nodes(&self) -> bool {
        matches!(
            self.mode,
            Mode::MultiNodeReaderOnly | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter
        )
    }
}

/// What a filesystem's type stands for at a driver; `None` for an empty one.
pub fn content_of(driver: Driver, filesystem: &str) -> Result<Option<Content>> {
    if filesystem.is_empty() {
        return Ok(None);
    }
    let content = Content::of_filesystem(filesystem)?;
    match driver.filesystems().contains(&content) {
        true => Ok(Some(content)),
        false => Err(Error::new(
            Kind::Invalid,
            format!("`{}` has no volumes with a filesystem of their own", driver.name()),
        )
        .hint("leave the filesystem type empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::csi::volume_capability::{AccessMode, BlockVolume, MountVolume};

    fn mount(filesystem: &str, mode: Mode, flags: &[&str]) -> VolumeCapability {
        let mount = MountVolume {
            fs_type: filesystem.into(),
            mount_flags: flags.iter().map(|flag| flag.to_string()).collect(),
            ..MountVolume::default()
        };
        let access_mode = Some(AccessMode { mode: mode as i32 });
        VolumeCapability { access_mode, access_type: Some(AccessType::Mount(mount)) }
    }

    #[test]
    fn half_a_capability_is_none() {
        let whole = mount("", Mode::SingleNodeWriter, &[]);
        assert!(Capability::read(Some(&whole)).is_ok());
        for broken in [
            None,
            Some(VolumeCapability { access_type: None, ..whole.clone() }),
            Some(VolumeCapability { access_mode: None, ..whole.clone() }),
            Some(mount("", Mode::Unknown, &[])),
            Some(VolumeCapability { access_mode: Some(AccessMode { mode: 99 }), ..whole }),
        ] {
            let kind = Capability::read(broken.as_ref()).unwrap_err().kind();
            assert_eq!(kind, Kind::Invalid, "{broken:?}");
        }
        assert!(Capability::read_all(&[]).is_err());
    }

    #[test]
    fn a_servers_directory_is_shared_by_nodes_and_an_image_on_it_is_not() {
        for (mode, shared) in [(Mode::SingleNodeWriter, false), (Mode::MultiNodeMultiWriter, true)]
        {
            let open = Capability::read(Some(&mount("", mode, &[]))).unwrap();
            let typed = Capability::read(Some(&mount("ext4", mode, &[]))).unwrap();
            assert!(open.suits(Driver::Nfs, Content::Directory).is_ok());
            assert_eq!(open.suits(Driver::Nfs, Content::Ext4).is_err(), shared);
            assert_eq!(typed.suits(Driver::Nfs, Content::Directory).is_err(), shared);
            assert_eq!(open.fits(Driver::Nfs, Content::Xfs).is_err(), shared);
            assert_eq!(typed.fits(Driver::Nfs, Content::Ext4).is_err(), shared);
        }
    }

    #[test]
    fn each_driver_has_what_it_can_honestly_have() {
        let block = VolumeCapability {
            access_type: Some(AccessType::Block(BlockVolume {})),
            ..mount("", Mode::SingleNodeWriter, &[])
        };
        let one = Mode::SingleNodeMultiWriter;
        for (capability, image, directory) in [
            (mount("", one, &["noatime"]), true, true),
            (mount("xfs", one, &["discard"]), true, false),
            (mount("no-such-fs", one, &[]), false, false),
            (mount("", one, &["nobarrier"]), false, false),
            (mount("", Mode::MultiNodeMultiWriter, &[]), false, false),
            (block, true, false),
        ] {
            let capability = Capability::read(Some(&capability)).unwrap();
            let suits = |driver: Driver| capability.suits(driver, driver.filesystems()[0]).is_ok();
            assert_eq!(suits(Driver::Image), image, "{capability:?}");
            assert_eq!(suits(Driver::Directory), directory, "{capability:?}");
        }
    }
}
