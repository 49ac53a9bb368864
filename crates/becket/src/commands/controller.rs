//! `becket controller`: volumes for all nodes, for the claims of a cluster.

use super::serve::{engine, keep_known, kubernetes};
use crate::args::Global;
use crate::args::controller::ControllerArgs;
use crate::install;
use becket_core::{Error, Kind, Result};
use becket_csi::local::Beside;
use becket_csi::plugin::Mode;
use becket_csi::serve::{self, Settings};

/// Does the drivers' duties until a signal ends it.
pub(super) fn run(global: &Global, arguments: &ControllerArgs) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(
            Kind::Denied,
            "shares are mounted to make volumes in them, which needs root",
        ));
    }
    // Nobody else is to call these drivers, so their sockets are where nobody looks.
    let place = tempfile::tempdir()
        .map_err(|error| Error::new(Kind::Internal, format!("no place for sockets: {error}")))?;
    let mut drivers = arguments.drivers.clone();
    drivers.sort_by_key(|driver| driver.name());
    drivers.dedup();
    let sockets = drivers.iter().map(|driver| (*driver, place.path().join(driver.name())));
    let settings = Settings {
        node: "controller".to_owned(),
        drivers: sockets.collect(),
        mode: Mode::Controller,
        registration: None,
        metrics: arguments.metrics,
        attach: Vec::new(),
        most_volumes: 0,
        reflection: false,
    };
    let state = install::real(&global.state_dir);
    for pool in &arguments.nfs_pools {
        keep_known(engine(&state), pool.pool());
    }
    let beside: Beside<'_> = &kubernetes::shared_duties;
    serve::run(&settings, || engine(&state), Some(beside))
}
