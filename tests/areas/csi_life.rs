//! A volume's life through CSI, on the real kernel, and across both interfaces.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::volume_content_source::{
    SnapshotSource, Type as Source, VolumeSource,
};
use becket_csi::protocol::csi::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerGetVolumeHealthRequest,
    CreateSnapshotRequest, CreateVolumeRequest, DeleteVolumeRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
    VolumeContentSource,
};
use becket_tests::csi_driver::{block, mounted, refused, wanted};
use becket_tests::{CsiDriver, MIB, Node, volume};
use std::collections::HashMap;
use std::path::Path;
use tonic::Code;

#[test]
fn a_volume_is_one_volume_whichever_interface_asks() {
    let node = Node::installed(&[]);
    let served = CsiDriver::start(&node, "image", &[]);
    let made = served.create(wanted("both", 16 * MIB));
    let target = served.mount(&node, &made, "csi/target");
    std::fs::write(target.join("greeting"), "from csi").unwrap();
    served.unmount(&node, &made, "csi/target");
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("both").json()]).succeeds();
    let greeting = Path::new(&pod).join("greeting");
    assert_eq!(std::fs::read_to_string(&greeting).unwrap(), "from csi");
    std::fs::write(&greeting, "from flexvolume").unwrap();
    // While a pod has it by the one interface, the other does not delete it.
    let delete = || DeleteVolumeRequest { volume_id: made.volume_id.clone(), ..Default::default() };
    let deleted = served.ask(served.controller().delete_volume(delete()));
    refused(deleted, Code::FailedPrecondition, "deleting a volume in use");
    node.image(&["unmount", &pod]).succeeds();
    let target = served.mount(&node, &made, "csi/target");
    assert_eq!(std::fs::read_to_string(target.join("greeting")).unwrap(), "from flexvolume");
    served.unmount(&node, &made, "csi/target");
    for _ in 0..2 {
        served.ask(served.controller().delete_volume(delete())).unwrap();
    }
}

#[test]
fn copies_hold_what_their_source_held_and_grow_with_it() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let made = served.create(wanted("source", 16 * MIB));
    let target = served.mount(&node, &made, "csi/target");
    std::fs::write(target.join("file"), "before").unwrap();
    let snapshot = served.ask(served.controller().create_snapshot(CreateSnapshotRequest {
        source_volume_id: made.volume_id.clone(),
        name: "moment".to_owned(),
        ..Default::default()
    }));
    let snapshot = snapshot.unwrap().snapshot.unwrap();
    assert!(snapshot.ready_to_use && snapshot.size_bytes == 16 << 20);
    std::fs::write(target.join("file"), "after").unwrap();
    served.unmount(&node, &made, "csi/target");
    let from = |source| Some(VolumeContentSource { r#type: Some(source) });
    let snapshot_id = snapshot.snapshot_id.clone();
    let restored = CreateVolumeRequest {
        volume_content_source: from(Source::Snapshot(SnapshotSource { snapshot_id })),
        ..wanted("restored", 64 * MIB)
    };
    let volume_id = made.volume_id.clone();
    let cloned = CreateVolumeRequest {
        volume_content_source: from(Source::Volume(VolumeSource { volume_id })),
        ..wanted("cloned", 16 * MIB)
    };
    for (request, text, bytes) in [(restored, "before", 64 * MIB), (cloned, "after", 16 * MIB)] {
        let source = request.volume_content_source.clone();
        let copy = served.create(request.clone());
        assert_eq!((&copy.content_source, copy.capacity_bytes), (&source, bytes as i64));
        assert_eq!(served.create(request), copy);
        let target = served.mount(&node, &copy, "csi/copy");
        assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), text);
        let found = rustix::fs::statvfs(&target).unwrap();
        assert!(found.f_blocks * found.f_frsize > bytes / 2, "the filesystem did not grow");
        served.unmount(&node, &copy, "csi/copy");
    }
}

#[test]
fn raw_block_is_a_device_of_its_size_and_grows_in_use() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let capability = block(Mode::SingleNodeWriter);
    let made = served.create(CreateVolumeRequest {
        volume_capabilities: vec![capability.clone()],
        ..wanted("raw", 8 * MIB)
    });
    let (staging, target) = (node.text("staging"), node.text("csi/device"));
    std::fs::create_dir(&staging).unwrap();
    served
        .ask(served.node().node_stage_volume(NodeStageVolumeRequest {
            volume_id: made.volume_id.clone(),
            staging_target_path: staging.clone(),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        }))
        .unwrap();
    let publish = NodePublishVolumeRequest {
        volume_id: made.volume_id.clone(),
        staging_target_path: staging.clone(),
        target_path: target.clone(),
        volume_capability: Some(capability),
        ..Default::default()
    };
    for _ in 0..2 {
        served.ask(served.node().node_publish_volume(publish.clone())).unwrap();
    }
    let size = || {
        use std::io::{Seek, SeekFrom};
        std::fs::File::open(&target).unwrap().seek(SeekFrom::End(0)).unwrap()
    };
    assert_eq!(size(), 8 * MIB);
    served
        .ask(served.controller().controller_expand_volume(ControllerExpandVolumeRequest {
            volume_id: made.volume_id.clone(),
            capacity_range: Some(CapacityRange { required_bytes: 16 << 20, limit_bytes: 0 }),
            ..Default::default()
        }))
        .unwrap();
    assert_eq!(size(), 16 * MIB);
    for _ in 0..2 {
        let (volume_id, target_path) = (made.volume_id.clone(), target.clone());
        let unpublish = NodeUnpublishVolumeRequest { volume_id, target_path };
        served.ask(served.node().node_unpublish_volume(unpublish)).unwrap();
        assert!(!Path::new(&target).exists());
    }
    served
        .ask(served.node().node_unstage_volume(NodeUnstageVolumeRequest {
            volume_id: made.volume_id,
            staging_target_path: staging,
        }))
        .unwrap();
}

#[test]
fn an_inline_volume_lives_as_long_as_its_path() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let (id, target) = (format!("csi-{}", "0af9".repeat(16)), node.text("csi/inline"));
    let context = [("csi.storage.k8s.io/ephemeral", "true"), ("size", "16Mi")];
    let context: HashMap<_, _> =
        context.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let publish = NodePublishVolumeRequest {
        volume_id: id.clone(),
        target_path: target.clone(),
        volume_capability: Some(mounted(Mode::SingleNodeWriter)),
        volume_context: context,
        ..Default::default()
    };
    for _ in 0..2 {
        served.ask(served.node().node_publish_volume(publish.clone())).unwrap();
    }
    std::fs::write(Path::new(&target).join("file"), "scratch").unwrap();
    let found = rustix::fs::statvfs(&*target).unwrap();
    assert!(found.f_blocks * found.f_frsize <= 16 * MIB, "its size is no limit");
    for _ in 0..3 {
        let (volume_id, target_path) = (id.clone(), target.clone());
        let unpublish = NodeUnpublishVolumeRequest { volume_id, target_path };
        served.ask(served.node().node_unpublish_volume(unpublish)).unwrap();
        assert!(!Path::new(&target).exists());
    }
    assert!(served.volumes().is_empty());
    let trash = node.becket(&["trash", "list", "-o", "json"]).succeeds();
    assert_eq!(trash.stdout.trim(), "[]", "its data is kept although its pod is gone");
}

#[test]
fn a_damaged_record_keeps_no_pod_from_ending() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let made = served.create(wanted("v", 16 * MIB));
    served.mount(&node, &made, "csi/target");
    let record = node.stored("v", "volume.json");
    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, "{").unwrap();
    let health = ControllerGetVolumeHealthRequest {
        volume_id: made.volume_id.clone(),
        ..Default::default()
    };
    let health = served.ask(served.controller().controller_get_volume_health(health)).unwrap();
    let told = &health.volume_health.unwrap().health_statuses;
    assert!(told.iter().any(|entry| entry.reason == "RecordDamaged"), "{told:?}");
    served.unmount(&node, &made, "csi/target");
    let delete = DeleteVolumeRequest { volume_id: made.volume_id.clone(), ..Default::default() };
    let deleted = served.ask(served.controller().delete_volume(delete.clone()));
    refused(deleted, Code::FailedPrecondition, "deleting what cannot be read");
    std::fs::write(&record, whole).unwrap();
    served.ask(served.controller().delete_volume(delete)).unwrap();
}

#[test]
fn an_inline_volume_that_cannot_be_had_leaves_nothing() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "directory", &[]);
    let publish = |target: &str, attributes: &[(&str, &str)]| {
        let ephemeral = ("csi.storage.k8s.io/ephemeral", "true");
        let context = attributes.iter().chain([&ephemeral]);
        served.ask(served.node().node_publish_volume(NodePublishVolumeRequest {
            volume_id: format!("csi-{}", "0af9".repeat(16)),
            target_path: target.to_owned(),
            volume_capability: Some(mounted(Mode::SingleNodeWriter)),
            volume_context:
                context.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ..Default::default()
        }))
    };
    // A pool of images is no place for a directory.
    node.becket(&["pool", "create", "images", "--backend", "image"]).succeeds();
    let wrong = publish(&node.text("csi/x"), &[("pool", "images")]);
    refused(wrong, Code::InvalidArgument, "a pool of another backend");
    // Something is at the target already, so the volume that was made for it goes again.
    let taken = node.path("csi/taken");
    std::fs::create_dir(&taken).unwrap();
    becket_tests::mount(&["-t", "tmpfs", "none", taken.to_str().unwrap()]);
    let wrong = publish(taken.to_str().unwrap(), &[("limit", "none")]);
    refused(wrong, Code::FailedPrecondition, "a target that is taken");
    becket_tests::unmount(&taken);
    assert!(served.volumes().is_empty(), "{:?}", served.volumes());
    let trash = node.becket(&["trash", "list", "--pool", "directory", "-o", "json"]).succeeds();
    assert_eq!(trash.stdout.trim(), "[]");
}

#[test]
fn a_target_of_another_volume_is_left_alone() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let (one, other) =
        (served.create(wanted("one", 16 * MIB)), served.create(wanted("two", 16 * MIB)));
    let target = served.mount(&node, &one, "csi/target");
    let unpublished = served.ask(served.node().node_unpublish_volume(NodeUnpublishVolumeRequest {
        volume_id: other.volume_id,
        target_path: target.display().to_string(),
    }));
    refused(unpublished, Code::FailedPrecondition, "another volume's target");
    std::fs::write(target.join("still"), "there").unwrap();
    served.unmount(&node, &one, "csi/target");
}
