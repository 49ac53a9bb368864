//! `becket serve`: the CSI drivers of this node.

pub(super) mod kubernetes;

use crate::args::Global;
use crate::args::serve::{ServeArgs, Switch};
use crate::install;
use becket_core::engine::{Expected, NewPool};
use becket_core::pool::State;
use becket_core::{Engine, Error, Kind, Result};
use becket_csi::driver::Driver;
use becket_csi::endpoint::Endpoint;
use becket_csi::local::Beside;
use becket_csi::serve::{self, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a kubelet that was not told otherwise keeps its plugins' sockets.
const PLUGINS: &str = "/var/lib/kubelet/plugins";

/// How long to wait before a server that does not answer is asked again: at first, and at most.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Serves until a signal ends it.
pub(super) fn run(global: &Global, arguments: &ServeArgs) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(Kind::Denied, "a driver mounts filesystems, which needs root"));
    }
    let mut drivers = arguments.drivers.clone();
    drivers.sort_by_key(|driver| driver.name());
    drivers.dedup();
    let settings = Settings {
        node: arguments.node_id.clone(),
        drivers: sockets(arguments, &drivers)?,
        mode: arguments.mode.into(),
        registration: arguments.registration_dir.clone(),
        metrics: arguments.metrics,
        attach: arguments.attach.clone(),
        most_volumes: arguments.max_volumes_per_node,
        reflection: arguments.reflection,
    };
    let state = install::real(&global.state_dir);
    let engine = || engine(&state);
    for pool in &arguments.nfs_pools {
        // Whoever makes pools on servers, it is not a node that may see an empty share.
        keep_known(engine(), pool.pool(), || Ok(Expected::Existing));
    }
    let beside: Beside<'_> = &|local, end| kubernetes::duties(local, arguments, end);
    serve::run(&settings, engine, (arguments.kubernetes == Switch::On).then_some(beside))
}

/// What does the work of one driver. The caller asks again by itself, so nobody waits for a volume in work.
pub(super) fn engine(state: &Path) -> Engine {
    Engine::new(State::new(state), becket_backends::all())
        .waiting(Duration::ZERO)
        .while_wanted(becket_csi::work::wanted)
}

/// Makes a pool known on this node, in a thread of its own: its server may answer later, and volumes of other
/// pools do not wait for that. `expected` is asked before each attempt.
pub(super) fn keep_known(
    engine: Engine,
    pool: NewPool,
    expected: impl Fn() -> Result<Expected> + Send + 'static,
) {
    let attempt = move |pool: &NewPool| {
        let pool = NewPool { expected: expected()?, ..pool.clone() };
        engine.create_pool(&pool).map(drop)
    };
    std::thread::spawn(move || {
        let mut pause = PAUSE;
        while let Err(error) = attempt(&pool) {
            log::warn!("pool `{}` is not usable yet: {error}", pool.name);
            std::thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        log::info!("pool `{}` is usable", pool.name);
    });
}

/// Each driver with its socket.
fn sockets(arguments: &ServeArgs, drivers: &[Driver]) -> Result<Vec<(Driver, PathBuf)>> {
    match (&arguments.endpoint, drivers) {
        (Some(Endpoint::Unix(path)), [driver]) => Ok(vec![(*driver, path.clone())]),
        (Some(Endpoint::Tcp(address)), _) => Err(Error::new(
            Kind::Invalid,
            format!("a driver does not listen at `{address}`: it is for this node alone"),
        )
        .hint("name a socket: unix:///path/to/csi.sock")),
        (Some(_), _) => Err(Error::new(Kind::Invalid, "one endpoint is for one driver")
            .hint("name one with --drivers, or give --plugin-dir instead of --endpoint")),
        (None, drivers) => {
            let directory = arguments.plugin_dir.as_deref().unwrap_or(Path::new(PLUGINS));
            let socket = |driver: &Driver| directory.join(driver.name()).join("csi.sock");
            Ok(drivers.iter().map(|driver| (*driver, socket(driver))).collect())
        }
    }
}
