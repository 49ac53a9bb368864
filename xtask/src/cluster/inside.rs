//! Running programs in a cluster's namespaces.

use super::place::Place;
use crate::run::Outcome;
use std::ffi::{OsStr, OsString};
use std::process::Command;

/// The kubeconfig of one who may do everything, as seen inside.
pub const KUBECONFIG: &str = "/run/cluster/keys/admin.kubeconfig";
/// Where Kubernetes' programs are, inside.
const PROGRAMS: &str = "/run/programs";
/// The node's name: see `xtask/node/src/network.rs`.
pub const NODE: &str = "node1";

/// A program in the cluster's namespaces, to be given arguments: with this process's working directory and
/// variables, `kubectl` and the node's programs on its path, and those variables set that say which cluster
/// and which node this is.
pub fn command(place: &Place, program: impl AsRef<OsStr>) -> Outcome<Command> {
    let mut command = Command::new("nsenter");
    let first = place.first_process()?;
    command.args(["--target", first.trim(), "--mount", "--net", "--pid", "--uts", "--ipc", "--"]);
    // Not nsenter's option for it, which goes to the directory outside of the mount namespace.
    if let Ok(directory) = std::env::current_dir() {
        command.args(["env".as_ref(), "--chdir".as_ref(), directory.as_os_str()]);
    }
    command.arg(program).env("KUBECONFIG", KUBECONFIG).env("NODE_NAME", NODE).env("PATH", path());
    Ok(command)
}

/// Where programs are found inside.
fn path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let all = [PROGRAMS.as_ref(), own.as_os_str(), "/usr/sbin:/usr/bin:/sbin:/bin".as_ref()];
    all.join(OsStr::new(":"))
}
