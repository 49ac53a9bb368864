//! The kinds of storage Becket knows, each an implementation of [`becket_core::Backend`].
//!
//! `image` and `directory` keep their volumes as directories of a filesystem and share
//! [`store`], the layout of such a pool; a backend on other ground (a volume group) has its own.

pub mod directory;
pub mod image;
mod store;

pub use directory::Directory;
pub use image::Image;

use becket_core::Backend;

/// Every backend of this build.
pub fn all() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Image), Box::new(Directory)]
}
