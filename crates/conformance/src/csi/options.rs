//! What a run is told by its caller.

use becket_csi::endpoint::Endpoint;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

/// Which access types the checks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessTypes {
    /// Those that the driver makes volumes of.
    #[default]
    Both,
    /// Only volumes with a filesystem.
    MountOnly,
    /// Only raw block volumes.
    BlockOnly,
}

/// What to check, and with what.
#[derive(Clone)]
pub struct Options {
    /// The driver, or its node plugin where the controller plugin listens elsewhere.
    pub endpoint: Endpoint,
    /// The controller plugin, where it has an endpoint of its own.
    pub controller_endpoint: Option<Endpoint>,
    /// Below this, staging directories are made; a temporary directory otherwise.
    pub staging_dir: Option<PathBuf>,
    /// Below this, parents of target paths are made; a temporary directory otherwise.
    pub target_dir: Option<PathBuf>,
    /// The driver runs on another node or in other namespaces: nothing is staged or published.
    pub remote: bool,
    /// Parameters of every volume.
    pub parameters: HashMap<String, String>,
    /// Parameters that also work and make another volume than `parameters`.
    pub other_parameters: HashMap<String, String>,
    /// Mutable parameters that the driver accepts.
    pub mutable_parameters: HashMap<String, String>,
    /// Attributes of an inline ephemeral volume; empty when the driver has none.
    pub ephemeral: HashMap<String, String>,
    /// Size of volumes in bytes.
    pub size: u64,
    /// Size in bytes to which volumes are grown.
    pub expand_size: u64,
    /// Filesystem of mount volumes; empty for the driver's own choice.
    pub fs_type: String,
    /// A volume may grow beyond its size, as the caller knows: its class asks for no limit.
    pub no_limit: bool,
    /// Which access types the checks use.
    pub access_types: AccessTypes,
    /// Secrets of every request that has the field. No report shows their values.
    pub secrets: BTreeMap<String, String>,
    /// More secrets, of the requests of one RPC.
    pub secrets_by_rpc: BTreeMap<String, BTreeMap<String, String>>,
    /// Ids of checks or names of areas to run; all when empty.
    pub only: Vec<String>,
    /// Starts the driver, which is then killed and started again by the checks of the crash area.
    pub restart_command: Option<String>,
    /// Moments at which the driver is killed during each operation.
    pub crash_moments: u32,
    /// How long one call may take.
    pub deadline: Duration,
}

impl Options {
    /// The secrets of requests of `rpc`.
    pub(crate) fn secrets_of(&self, rpc: &str) -> HashMap<String, String> {
        let own = self.secrets_by_rpc.get(rpc);
        self.secrets.iter().chain(own.into_iter().flatten()).map(owned).collect()
    }

    /// The values of all secrets, the longest first. Those so short that they are part of many
    /// words are left out.
    pub(crate) fn secret_values(&self) -> Vec<String> {
        const SHORTEST: usize = 4;
        let all = self.secrets.values();
        let by_rpc = self.secrets_by_rpc.values().flat_map(BTreeMap::values);
        let mut values: Vec<String> =
            all.chain(by_rpc).filter(|value| value.len() >= SHORTEST).cloned().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values
    }

    /// Options for the driver at `endpoint`, with volumes of 64 MiB.
    pub fn new(endpoint: Endpoint) -> Options {
        const SIZE: u64 = 64 << 20;
        Options {
            endpoint,
            controller_endpoint: None,
            staging_dir: None,
            target_dir: None,
            remote: false,
            parameters: HashMap::new(),
            other_parameters: HashMap::new(),
            mutable_parameters: HashMap::new(),
            ephemeral: HashMap::new(),
            size: SIZE,
            expand_size: 2 * SIZE,
            fs_type: String::new(),
            no_limit: false,
            access_types: AccessTypes::Both,
            secrets: BTreeMap::new(),
            secrets_by_rpc: BTreeMap::new(),
            only: Vec::new(),
            restart_command: None,
            crash_moments: 5,
            deadline: Duration::from_secs(60),
        }
    }
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}
