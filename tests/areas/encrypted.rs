//! Encrypted volumes through both interfaces: where the passphrase comes from, and where it does not go.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::{
    CreateVolumeRequest, DeleteVolumeRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest,
};
use becket_tests::csi_driver::{mounted, refused, wanted};
use becket_tests::requests::{expand, expand_on_node, stage, unstage};
use becket_tests::{CsiDriver, MIB, Node, VolumeGroup, volume};
use std::collections::HashMap;
use std::path::Path;
use tonic::Code;

const WORD: &str = "c0rrect-h0rse";

/// [`WORD`] as the kubelet hands it to a FlexVolume driver.
const ENCODED: &str = "YzBycmVjdC1oMHJzZQ==";

const SECRET: &str = "kubernetes.io/secret/encryptionPassphrase";

fn secret(word: &str) -> HashMap<String, String> {
    [("encryptionPassphrase", word), ("other", "hush")].map(|(k, v)| (k.into(), v.into())).into()
}

fn class(more: &[(&str, &str)]) -> HashMap<String, String> {
    let given = [("encryption", "luks"), ("wipe", "crypto-erase")];
    given.iter().chain(more).map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn bytes_of(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_blocks * found.f_frsize
}

fn no_word_in(text: &str, what: &str) {
    assert!(!text.contains(WORD) && !text.contains(ENCODED), "{what} shows the passphrase: {text}");
}

#[test]
fn the_passphrase_comes_with_staging_and_is_in_no_answer_and_no_log() {
    let node = Node::new();
    let Some(group) = VolumeGroup::new(&node) else { return };
    let create = ["pool", "create", "lvm", "--backend", "lvm", "--trash-retention", "0s"];
    node.becket(&[&create[..], &group.arguments()].concat()).succeeds();
    let served = CsiDriver::start(&node, "lvm", &[]);
    let made =
        served.create(CreateVolumeRequest { parameters: class(&[]), ..wanted("both", 64 * MIB) });
    assert_eq!(made.capacity_bytes, 64 << 20);
    let capability = mounted(Mode::SingleNodeMultiWriter);
    let place = node.path("staging");
    std::fs::create_dir(&place).unwrap();
    let stage = |secrets| {
        let mut request = stage(&made.volume_id, &place, capability.clone());
        request.secrets = secrets;
        served.ask(served.node().node_stage_volume(request))
    };
    let absent = refused(stage(HashMap::new()), Code::InvalidArgument, "staging without a secret");
    assert!(absent.message().contains("encryptionPassphrase"), "{absent}");
    stage(secret(WORD)).unwrap();
    std::fs::write(place.join("greeting"), "from csi").unwrap();
    let before = bytes_of(&place);
    let larger = expand(&made.volume_id, 128 * MIB, capability.clone());
    served.ask(served.controller().controller_expand_volume(larger)).unwrap();
    let grow = |secrets| {
        let mut request = expand_on_node(&made.volume_id, &place, capability.clone());
        request.secrets = secrets;
        served.ask(served.node().node_expand_volume(request))
    };
    refused(grow(HashMap::new()), Code::InvalidArgument, "growing without a secret");
    refused(grow(secret("other")), Code::PermissionDenied, "growing with another passphrase");
    assert_eq!(grow(secret(WORD)).unwrap().capacity_bytes, 128 << 20);
    assert!(bytes_of(&place) > before + 32 * MIB, "it did not grow");
    let end = || served.ask(served.node().node_unstage_volume(unstage(&made.volume_id, &place)));
    end().unwrap();
    let wrong = refused(stage(secret("other")), Code::PermissionDenied, "another passphrase");
    no_word_in(wrong.message(), "an answer");

    // The other interface has the same volume, and its secret in base64.
    let pod = node.pod_of("lvm", "a");
    let options = || volume("both").with("encryption", "luks");
    let bare = options().json();
    node.callout("lvm", &["mount", &pod, &bare]).fails(&["encryptionPassphrase"]);
    let bad = options().with(SECRET, "b3RoZXI=").json();
    node.callout("lvm", &["mount", &pod, &bad]).fails(&["does not open"]);
    let good = options().with(SECRET, ENCODED).json();
    let reply = node.callout("lvm", &["mount", &pod, &good]).succeeds();
    no_word_in(&reply.text, "a reply");
    let greeting = Path::new(&pod).join("greeting");
    assert_eq!(std::fs::read_to_string(greeting).unwrap(), "from csi");
    // The kubelet hands no secret on with `expandfs`: it grows with the next mount.
    let sizes = ((192 * MIB).to_string(), (128 * MIB).to_string());
    let grown = ["expandfs", &bare, "", &pod, &sizes.0, &sizes.1];
    node.callout("lvm", &grown).fails(&["encryptionPassphrase", "staged next"]);
    node.callout("lvm", &["unmount", &pod]).succeeds();
    node.callout("lvm", &["mount", &pod, &good]).succeeds();
    assert!(bytes_of(Path::new(&pod)) > 130 * MIB, "it did not follow");
    node.callout("lvm", &grown).succeeds();
    node.callout("lvm", &["unmount", &pod]).succeeds();

    let volume_id = made.volume_id.clone();
    let delete = DeleteVolumeRequest { volume_id, ..Default::default() };
    served.ask(served.controller().delete_volume(delete)).unwrap();
    let logged = served.logged();
    assert!(logged.contains("stripped"), "no secret was handed over: {logged}");
    no_word_in(&logged, "the log");
}

#[test]
fn an_inline_volume_is_encrypted_for_as_long_as_its_pod() {
    let node = Node::new();
    let Some(group) = VolumeGroup::new(&node) else { return };
    let create = ["pool", "create", "lvm", "--backend", "lvm", "--thin"];
    node.becket(&[&create[..], &group.arguments()].concat()).succeeds();
    let served = CsiDriver::start(&node, "lvm", &[]);
    let target = node.text("inline");
    let more = [("csi.storage.k8s.io/ephemeral", "true"), ("size", "64Mi")];
    let publish = |secrets| {
        served.ask(served.node().node_publish_volume(NodePublishVolumeRequest {
            volume_id: "csi-0af9".into(),
            target_path: target.clone(),
            volume_capability: Some(mounted(Mode::SingleNodeWriter)),
            volume_context: class(&more),
            secrets,
            ..Default::default()
        }))
    };
    refused(publish(HashMap::new()), Code::InvalidArgument, "an inline volume without a secret");
    assert!(served.volumes().is_empty(), "what failed is left");
    publish(secret(WORD)).unwrap();
    std::fs::write(Path::new(&target).join("file"), "scratch").unwrap();
    let (volume_id, target_path) = ("csi-0af9".to_owned(), target.clone());
    let end = NodeUnpublishVolumeRequest { volume_id, target_path };
    served.ask(served.node().node_unpublish_volume(end)).unwrap();
    assert!(served.volumes().is_empty());
    no_word_in(&served.logged(), "the log");
}
