//! `becket controller`: volumes for all nodes, for the claims of a cluster.

use super::serve::{engine, keep_known, kubernetes};
use crate::args::Global;
use crate::args::controller::ControllerArgs;
use crate::install;
use becket_core::engine::Expected;
use becket_core::{Error, Kind, Name, Result};
use becket_csi::driver::Driver;
use becket_csi::local::Beside;
use becket_csi::plugin::Mode;
use becket_csi::serve::{self, Settings};
use becket_kubernetes::pools::{self, Known};

/// What the cluster's volumes say of a pool on a server. This process may have been made a moment ago and know
/// nothing itself, while the server shows an empty directory because its own disk is not mounted yet.
fn expected(pool: &Name) -> Result<Expected> {
    let known = pools::known(Driver::Nfs.name(), pool.as_str());
    match known.map_err(|words| Error::new(Kind::Unavailable, words))? {
        Known::No => Ok(Expected::Nothing),
        Known::Somehow => Ok(Expected::Existing),
        Known::As(uuid) => {
            let uuid = uuid.parse().map_err(|_| {
                let words = format!("volumes of pool `{pool}` say that its identity is `{uuid}`");
                Error::new(Kind::Invalid, words)
            })?;
            Ok(Expected::This(uuid))
        }
    }
}

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
        let new = pool.pool();
        let name = new.name.clone();
        keep_known(engine(&state), new, move || expected(&name));
    }
    let beside: Beside<'_> = &kubernetes::shared_duties;
    serve::run(&settings, || engine(&state), Some(beside))
}
