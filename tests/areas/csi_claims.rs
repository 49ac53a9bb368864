//! Claims that nobody will take back: shown, and released by hand.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::{ControllerPublishVolumeRequest, DeleteVolumeRequest};
use becket_tests::csi_driver::{mounted, refused, wanted};
use becket_tests::{CsiDriver, MIB, Node};
use tonic::Code;

#[test]
fn a_claim_is_shown_and_released_by_hand() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &["--attach"]);
    let made = served.create(wanted("v", 16 * MIB));
    let attach = ControllerPublishVolumeRequest {
        volume_id: made.volume_id.clone(),
        node_id: "node-1".to_owned(),
        volume_capability: Some(mounted(Mode::SingleNodeWriter)),
        ..Default::default()
    };
    served.ask(served.controller().controller_publish_volume(attach)).unwrap();
    let delete = || DeleteVolumeRequest { volume_id: made.volume_id.clone(), ..Default::default() };
    let deleted = served.ask(served.controller().delete_volume(delete()));
    refused(deleted, Code::FailedPrecondition, "deleting a claimed volume");
    let shown = node.becket(&["volume", "show", "v"]).succeeds().stdout;
    assert!(shown.contains("claimed by  node node-1"), "{shown}");

    let release = |more: &[&str]| node.becket(&[&["volume", "release", "v"], more].concat());
    release(&[]).fails(2, &["--node"]);
    let kept = release(&["--node", "node-2"]).succeeds();
    assert!(kept.stderr.contains("nothing was released"), "{}", kept.stderr);
    assert!(kept.stdout.contains("node-1"), "{}", kept.stdout);
    let released = release(&["--node", "node-1", "-o", "json"]);
    assert!(released.stderr.contains("`node-1`"), "{}", released.stderr);
    let after = released.json();
    assert_eq!((&after["name"], after.get("claims")), (&"v".into(), None), "{after}");
    let again = release(&["--node", "node-1"]).succeeds();
    assert!(again.stderr.contains("nothing was released"), "{}", again.stderr);
    served.ask(served.controller().delete_volume(delete())).unwrap();
    release(&["--node", "node-1"]).fails(1, &["`v` does not exist"]);
}
