//! The words of `becket controller`.

use super::export::NfsPool;
use super::serve::driver;
use becket_csi::driver::Driver;
use clap::Args;
use std::net::SocketAddr;

#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// The drivers, of those whose volumes are for all nodes: nfs
    #[arg(long, value_name = "DRIVERS", value_delimiter = ',', default_value = "nfs")]
    #[arg(value_parser = shared)]
    pub(crate) drivers: Vec<Driver>,
    /// Answer /livez, /healthz and /metrics at this address, such as 0.0.0.0:9808
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Make this pool of the backend nfs known here, also later when its server does not answer yet
    #[arg(long = "nfs-pool", value_name = "NAME=SERVER:/SHARE", value_parser = NfsPool::parse)]
    pub(crate) nfs_pools: Vec<NfsPool>,
}

fn shared(text: &str) -> Result<Driver, String> {
    match driver(text)? {
        driver if driver.is_shared() => Ok(driver),
        _ => Err("its volumes are made on their own nodes, by `becket serve`".to_owned()),
    }
}
