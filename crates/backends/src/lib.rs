//! The kinds of storage Becket knows, each an implementation of [`becket_core::Backend`].
//!
//! `image`, `directory` and `nfs` keep their volumes as directories of a filesystem and share
//! [`store`], the layout of such a pool; `lvm` keeps its catalog in the volume group itself.

pub mod directory;
pub mod image;
pub mod lvm;
mod medium;
pub mod nfs;
mod store;

pub use directory::Directory;
pub use image::Image;
pub use lvm::Lvm;
pub use nfs::Nfs;

use becket_core::Backend;

/// Every backend of this build.
pub fn all() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Image), Box::new(Directory), Box::new(Lvm), Box::new(Nfs::apart())]
}

/// What the expendable process of [`becket_core::engine::perform_apart`] has: the backends whose pools
/// only it may touch.
pub fn all_apart() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Nfs::here())]
}
