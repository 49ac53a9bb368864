//! The steps of a volume's life as bare system calls: what no driver can do without.

use crate::Outcome;
use crate::place::SIZE;
use becket_sys::beneath::Dir;
use becket_sys::superblock::Kind;
use becket_sys::{copy, filesystem, freeze, loop_device, mount};
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A loop device that goes away with its last user.
pub(crate) const WHILE_USED: loop_device::Options =
    loop_device::Options { readonly: false, autoclear: true, label: "" };

/// For this long a filesystem may be held still.
const LONGEST: Duration = Duration::from_secs(30);

/// A volume without a driver: an image of 1 GiB with ext4, and the places it is mounted at.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    image: PathBuf,
    staging: PathBuf,
    target: PathBuf,
}

impl Bare {
    /// The volume `name` below `root`, whose directories are made.
    pub(crate) fn new(root: &Path, name: &str) -> Outcome<Bare> {
        Bare::with_image(root.join(name), root, name)
    }

    /// The same with its image somewhere else.
    pub(crate) fn with_image(image: PathBuf, root: &Path, name: &str) -> Outcome<Bare> {
        let [staging, target] = ["staged", "pod"].map(|part| root.join(part).join(name));
        std::fs::create_dir_all(&staging)?;
        std::fs::create_dir_all(&target)?;
        Ok(Bare { image, staging, target })
    }

    /// The file, and `mkfs`.
    pub(crate) fn create(&self) -> Outcome {
        File::create_new(&self.image)?.set_len(SIZE)?;
        let uuid = *uuid::Uuid::new_v4().as_bytes();
        Ok(filesystem::make(Kind::Ext4, &self.image, uuid, true)?)
    }

    /// The loop device and the mount.
    pub(crate) fn stage(&self) -> Outcome {
        let file = File::options().read(true).write(true).open(&self.image)?;
        let device = loop_device::attach(&file, &self.image, WHILE_USED)?;
        let mounted = mount::filesystem(Kind::Ext4.name(), &device.path(), &[])?;
        Ok(mounted.attach(Dir::open(&self.staging)?.as_fd(), &self.staging)?)
    }

    /// The bind mount.
    pub(crate) fn publish(&self) -> Outcome {
        let view = mount::view_of(Dir::open(&self.staging)?.as_fd(), &self.staging)?;
        Ok(view.attach(Dir::open(&self.target)?.as_fd(), &self.target)?)
    }

    /// A copy with the holes kept, synced, while the filesystem is held still.
    pub(crate) fn snapshot(&self) -> Outcome {
        let frozen = freeze::freeze(&File::open(&self.target)?, &self.target, LONGEST)?;
        let copy = File::create_new(self.image.with_extension("copy"))?;
        let go_on = &mut |_: u64| ControlFlow::Continue(());
        copy::sparse(&File::open(&self.image)?, &copy, &self.image, go_on)?;
        Ok(frozen.thaw()?)
    }

    /// The way back from [`Bare::publish`].
    pub(crate) fn unpublish(&self) -> Outcome {
        Ok(mount::unmount(&self.target)?)
    }

    /// The way back from [`Bare::stage`].
    pub(crate) fn unstage(&self) -> Outcome {
        Ok(mount::unmount(&self.staging)?)
    }

    /// The file's end.
    pub(crate) fn delete(&self) -> Outcome {
        Ok(std::fs::remove_file(&self.image)?)
    }

    /// Removes what is left, outside of any clock.
    pub(crate) fn forget(&self) -> Outcome {
        let copy = self.image.with_extension("copy");
        if copy.exists() {
            std::fs::remove_file(copy)?;
        }
        std::fs::remove_dir(&self.staging)?;
        Ok(std::fs::remove_dir(&self.target)?)
    }
}
