//! The FlexVolume protocol, as Kubernetes' `pkg/volume/flexvolume` implements it.
//!
//! The kubelet runs a driver's executable once for every *callout*, with everything in argv, and
//! reads one JSON object from its merged stdout and stderr. [`callout`] reads argv, [`options`] the
//! JSON in it, [`serve`] turns a callout into calls of the engine, and [`reply`] is the answer.

pub mod callout;
pub mod driver;
pub mod options;
pub mod reply;
pub mod serve;

pub use callout::Callout;
pub use driver::{Driver, Settings};
pub use reply::Reply;
