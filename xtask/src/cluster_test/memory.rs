//! What a node's process has of memory, beside the official sidecars that do a part of its duties, on the same
//! cluster.

use super::official::Official;
use crate::cluster::Cluster;
use crate::run::{Failed, Outcome};
use std::time::Duration;

/// How long the sidecars get to know the cluster.
const SETTLING: Duration = Duration::from_secs(10);

/// What the process may have at most, in KiB, with the pages that it shares: a tenth of what the drivers and
/// sidecars of others have.
const MOST: u64 = 20 * 1024;

/// Says how much memory the process of the container has, and each of the sidecars beside it.
pub fn tell(cluster: &Cluster) -> Outcome {
    let sidecars = Official::beside(cluster, "image.becket.dev")?;
    std::thread::sleep(SETTLING);
    let (resident, own) = of(cluster, "becket")?;
    let mut beside = 0;
    for name in Official::names() {
        let (resident, own) = of(cluster, name)?;
        eprintln!("          {name}: {resident} KiB resident, {own} KiB its own");
        beside += resident;
    }
    drop(sidecars);
    eprintln!(
        "          becket: {resident} KiB resident, {own} KiB its own; those sidecars: {beside} KiB, \
         without a driver, registration and health"
    );
    match resident <= MOST {
        true => Ok(()),
        false => Err(Failed::new(format!("becket has {resident} KiB of memory, and not {MOST}"))),
    }
}

/// `VmRSS` and `RssAnon` of the oldest process of this name (`proc_pid_status(5)`).
fn of(cluster: &Cluster, name: &str) -> Outcome<(u64, u64)> {
    let script = format!("cat /proc/$(pgrep -ox {name})/status");
    let status = cluster.read("sh", &["-c", &script])?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    field("VmRSS:")
        .zip(field("RssAnon:"))
        .ok_or_else(|| Failed::new(format!("`{name}` does not say what memory it has")))
}
