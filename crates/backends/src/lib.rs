//! The kinds of storage Becket knows, each an implementation of [`becket_core::Backend`].
//!
//! `image` and `directory` keep their volumes as directories of a filesystem and share
//! [`store`], the layout of such a pool; `lvm` keeps its catalog in the volume group itself.

pub mod directory;
pub mod image;
pub mod lvm;
mod medium;
mod store;

pub use directory::Directory;
pub use image::Image;
pub use lvm::Lvm;

use becket_core::Backend;

/// Every backend of this build.
pub fn all() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Image), Box::new(Directory), Box::new(Lvm)]
}
