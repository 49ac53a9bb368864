//! Linux as Becket needs it, shaped like the kernel's own interface and without policy.
//!
//! Everything here takes and gives file descriptors, paths and plain numbers; nothing knows what a
//! volume is. All `unsafe` code of the project is in this crate, each use beside the reason why it
//! is sound. Wrappers name the manual page or kernel header they follow and the kernel version
//! that introduced the call; the oldest kernel Becket supports is 5.12 (`mount_setattr`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`beneath`] | directories as handles; everything below them opened without following links |
//! | [`mount`] | the new mount API: detached mounts, attributes, attach, unmount |
//! | [`mountinfo`] | the mount table, parsed |
//! | [`point`] | what is at a path: mount root, mount id, device, inode |
//! | [`loop_device`] | image files as block devices |
//! | [`block_device`] | block devices of any kind: size, zeros, discarding |
//! | [`device_mapper`] | what the kernel has under a mapped device's UUID |
//! | [`superblock`] | what a device or image holds, read from its own bytes |
//! | [`filesystem`] | making, growing, checking and re-identifying filesystems |
//! | [`freeze`] | a filesystem held still, and thawed whatever happens |
//! | [`copy`], [`tree`] | reflinks, copies that keep holes, whole directory trees |
//! | [`extents`] | where a file has data, and what it shares |
//! | [`quota`] | project quotas |
//! | [`child`] | programs of the host |
//! | [`expendable`] | a second process of this program, for work that may hang |
//! | [`rpc`], [`range_lock`] | whether a file server is there; locks that it keeps for all its clients |
//! | [`kernel`] | which kernel this is |
//! | [`space`] | how full a filesystem is |

pub mod beneath;
pub mod block_device;
mod btrfs;
pub mod child;
pub mod copy;
pub mod device_mapper;
mod error;
pub mod expendable;
pub mod extents;
pub mod filesystem;
pub mod freeze;
pub mod kernel;
pub mod loop_device;
pub mod luks;
pub mod mount;
pub mod mountinfo;
pub mod ownership;
pub mod point;
pub mod quota;
pub mod range_lock;
pub mod rpc;
pub mod space;
pub mod superblock;
pub mod tree;

pub use error::{Error, Result};
pub use rustix::io::Errno;
