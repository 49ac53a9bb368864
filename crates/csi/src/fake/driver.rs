//! What the fake driver answers.

use super::volumes::{Refusal, Volumes};
use crate::shape::{DynamicMessage, to_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::Code;

/// A call that the driver was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The RPC's name.
    pub rpc: String,
    /// The request, with its secrets.
    pub request: Value,
}

/// What an RPC is refused with.
struct Refusing {
    with: Refusal,
    once: bool,
}

/// What the driver answers and what it does badly. The lists are by the RPC's name.
pub struct Driver {
    volumes: Mutex<Volumes>,
    asked: Mutex<Vec<Asked>>,
    without: Vec<String>,
    refusals: Mutex<BTreeMap<String, Refusing>>,
    delays: BTreeMap<String, Duration>,
    /// Calls that wait for their delay: now, and the most there were.
    waiting: Mutex<(usize, usize)>,
}

impl Driver {
    /// A driver that keeps its volumes in `root`, an existing directory, and has every capability.
    pub fn new(root: &Path) -> Driver {
        Driver {
            volumes: Mutex::new(Volumes::new(root)),
            asked: Mutex::default(),
            without: Vec::new(),
            refusals: Mutex::default(),
            delays: BTreeMap::new(),
            waiting: Mutex::default(),
        }
    }

    /// Does not claim this capability, of whatever service.
    #[must_use]
    pub fn without(mut self, capability: &str) -> Driver {
        self.without.push(capability.to_owned());
        self
    }

    /// Answers the RPC with this status.
    #[must_use]
    pub fn refusing(self, rpc: &str, code: Code, message: &str) -> Driver {
        let refusing = Refusing { with: (code, message.to_owned()), once: false };
        lock(&self.refusals).insert(rpc.to_owned(), refusing);
        self
    }

    /// Answers the RPC with this status, the first time.
    #[must_use]
    pub fn refusing_once(self, rpc: &str, code: Code, message: &str) -> Driver {
        let refusing = Refusing { with: (code, message.to_owned()), once: true };
        lock(&self.refusals).insert(rpc.to_owned(), refusing);
        self
    }

    /// Answers the RPC only after some time.
    #[must_use]
    pub fn delaying(mut self, rpc: &str, delay: Duration) -> Driver {
        self.delays.insert(rpc.to_owned(), delay);
        self
    }

    /// Content of the volumes it restores from a snapshot is wrong by a bit.
    #[must_use]
    pub fn spoiling_copies(self) -> Driver {
        lock(&self.volumes).spoil_copies = true;
        self
    }

    /// Every call so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    /// The volumes, snapshots, stages, publications and attachments that there are now.
    pub fn left(&self) -> Vec<String> {
        lock(&self.volumes).left()
    }

    /// The most calls that were there at the same time.
    pub fn most_at_once(&self) -> usize {
        lock(&self.waiting).1
    }

    pub(super) fn begins(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.0 += 1;
        waiting.1 = waiting.1.max(waiting.0);
    }

    pub(super) fn ends(&self) {
        lock(&self.waiting).0 -= 1;
    }

    pub(super) fn delay(&self, rpc: &str) -> Duration {
        self.delays.get(rpc).copied().unwrap_or_default()
    }

    /// The messages of the answer, and the status that ends it, if that is not OK.
    pub(super) fn answer(
        &self,
        rpc: &str,
        request: &DynamicMessage,
    ) -> (Vec<Value>, Option<(Code, String)>) {
        let request = to_json(request);
        let asked = Asked { rpc: rpc.to_owned(), request: request.clone() };
        lock(&self.asked).push(asked);
        if let Some(refusal) = self.refusal(rpc) {
            return (Vec::new(), Some(refusal));
        }
        if rpc == "GetMetadataAllocated" {
            return metadata(&request);
        }
        match self.one(rpc, &request) {
            Ok(answer) => (vec![answer], None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        }
    }

    fn refusal(&self, rpc: &str) -> Option<Refusal> {
        let mut refusals = lock(&self.refusals);
        let refusing = refusals.get(rpc)?;
        let (with, once) = (refusing.with.clone(), refusing.once);
        if once {
            refusals.remove(rpc);
        }
        Some(with)
    }

    fn one(&self, rpc: &str, request: &Value) -> Result<Value, Refusal> {
        match rpc {
            "GetPluginInfo" => Ok(json!({"name": "fake.becket.dev", "vendor_version": "1.0"})),
            "Probe" => Ok(json!({"ready": true})),
            "GetPluginCapabilities" => Ok(json!({"capabilities": self.plugin()})),
            "ControllerGetCapabilities" => Ok(self.claimed(&[
                "CREATE_DELETE_VOLUME",
                "PUBLISH_UNPUBLISH_VOLUME",
                "LIST_VOLUMES",
                "GET_CAPACITY",
                "CREATE_DELETE_SNAPSHOT",
                "LIST_SNAPSHOTS",
                "CLONE_VOLUME",
                "EXPAND_VOLUME",
                "SINGLE_NODE_MULTI_WRITER",
            ])),
            "NodeGetCapabilities" => Ok(self.claimed(&[
                "STAGE_UNSTAGE_VOLUME",
                "GET_VOLUME_STATS",
                "EXPAND_VOLUME",
                "SINGLE_NODE_MULTI_WRITER",
            ])),
            "NodeGetInfo" => Ok(json!({
                "node_id": "node-1",
                "max_volumes_per_node": 100,
                "accessible_topology": {"segments": {"fake.becket.dev/node": "node-1"}},
            })),
            "GetCapacity" => {
                Ok(json!({"available_capacity": 5_u64 << 30, "maximum_volume_size": 1 << 30}))
            }
            _ => lock(&self.volumes).answer(rpc, request),
        }
    }

    fn plugin(&self) -> Vec<Value> {
        let services = ["CONTROLLER_SERVICE", "VOLUME_ACCESSIBILITY_CONSTRAINTS"];
        let services = services.into_iter().filter(|name| self.has(name));
        let expansions = ["ONLINE", "OFFLINE"].into_iter().filter(|name| self.has(name));
        services
            .map(|name| json!({"service": {"type": name}}))
            .chain(expansions.map(|name| json!({"volume_expansion": {"type": name}})))
            .collect()
    }

    fn claimed(&self, names: &[&str]) -> Value {
        let claimed = names.iter().filter(|name| self.has(name));
        json!({"capabilities": claimed.map(|name| json!({"rpc": {"type": name}})).collect::<Vec<_>>()})
    }

    fn has(&self, name: &str) -> bool {
        !self.without.iter().any(|without| without == name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two messages of ranges from the offset on; then, for the snapshot `broken`, an error.
fn metadata(request: &Value) -> (Vec<Value>, Option<(Code, String)>) {
    let start = request["starting_offset"].as_i64().unwrap_or_default();
    let message = |offset: i64| {
        json!({
            "block_metadata_type": "FIXED_LENGTH",
            "volume_capacity_bytes": 1 << 30,
            "block_metadata": [
                {"byte_offset": offset, "size_bytes": 4096},
                {"byte_offset": offset + 8192, "size_bytes": 4096},
            ],
        })
    };
    let broken = (request["snapshot_id"] == "broken")
        .then(|| (Code::OutOfRange, "the rest is beyond the end".to_owned()));
    (vec![message(start), message(start + 65536)], broken)
}
