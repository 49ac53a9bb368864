//! The device of a raw block volume goes with its last use, whichever of unstage and unpublish comes first,
//! also when the volume's record or its pool cannot be read any more.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::{
    CreateVolumeRequest, DeleteVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, Volume,
};
use becket_tests::csi_driver::{block, wanted};
use becket_tests::{CsiDriver, MIB, Node, loop_files, until};
use std::path::Path;

/// Stages the volume and publishes it, and gives how many files have devices then.
fn take(node: &Node, served: &CsiDriver, volume: &Volume) -> usize {
    let (staging, capability) = (node.text("staging"), Some(block(Mode::SingleNodeWriter)));
    std::fs::create_dir_all(&staging).unwrap();
    let stage = NodeStageVolumeRequest {
        volume_id: volume.volume_id.clone(),
        staging_target_path: staging.clone(),
        volume_capability: capability.clone(),
        ..Default::default()
    };
    served.ask(served.node().node_stage_volume(stage)).unwrap();
    let publish = NodePublishVolumeRequest {
        volume_id: volume.volume_id.clone(),
        staging_target_path: staging,
        target_path: node.text("csi/device"),
        volume_capability: capability,
        ..Default::default()
    };
    served.ask(served.node().node_publish_volume(publish)).unwrap();
    loop_files(&node.path("")).len()
}

fn unstage(node: &Node, served: &CsiDriver, volume: &Volume) {
    let (volume_id, staging_target_path) = (volume.volume_id.clone(), node.text("staging"));
    let unstage = NodeUnstageVolumeRequest { volume_id, staging_target_path };
    served.ask(served.node().node_unstage_volume(unstage)).unwrap();
}

fn unpublish(node: &Node, served: &CsiDriver, volume: &Volume) {
    let (volume_id, target_path) = (volume.volume_id.clone(), node.text("csi/device"));
    let unpublish = NodeUnpublishVolumeRequest { volume_id, target_path };
    served.ask(served.node().node_unpublish_volume(unpublish)).unwrap();
    assert!(!Path::new(&node.text("csi/device")).exists());
}

/// Spoils what is at `path` between use and end, in both orders, and expects the device to be gone each
/// time with the last call.
fn ends_whatever_is_spoilt(spoil: impl Fn(&Node), mend: impl Fn(&Node)) {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let made = served.create(CreateVolumeRequest {
        volume_capabilities: vec![block(Mode::SingleNodeWriter)],
        ..wanted("raw", 8 * MIB)
    });
    for [first, second] in [[unstage, unpublish], [unpublish, unstage]] {
        assert_eq!(take(&node, &served, &made), 1);
        spoil(&node);
        for _ in 0..2 {
            first(&node, &served, &made);
            assert_eq!(loop_files(&node.path("")).len(), 1, "it went while it was used");
        }
        for _ in 0..2 {
            second(&node, &served, &made);
            // Others, who look for theirs, may have it open for a moment.
            assert!(until(|| loop_files(&node.path("")).is_empty()), "it is left");
        }
        mend(&node);
    }
    let delete = DeleteVolumeRequest { volume_id: made.volume_id, ..Default::default() };
    served.ask(served.controller().delete_volume(delete)).unwrap();
}

#[test]
fn a_device_goes_with_its_last_use_in_either_order() {
    ends_whatever_is_spoilt(|_| (), |_| ());
}

#[test]
fn a_device_goes_although_its_record_is_damaged() {
    let rename = |node: &Node, from: &str, to: &str| {
        std::fs::rename(node.stored("raw", from), node.stored("raw", to)).unwrap();
    };
    let spoil = |node: &Node| {
        rename(node, "volume.json", "kept");
        std::fs::write(node.stored("raw", "volume.json"), "{").unwrap();
    };
    ends_whatever_is_spoilt(spoil, |node| rename(node, "kept", "volume.json"));
}

#[test]
fn a_device_goes_although_its_pool_is_gone() {
    let rename = |node: &Node, from: &str, to: &str| {
        std::fs::rename(node.path(from), node.path(to)).unwrap();
    };
    let (pool, aside) = ("state/pools/default/pool.json", "state/pools/default/kept");
    ends_whatever_is_spoilt(|node| rename(node, pool, aside), |node| rename(node, aside, pool));
}
