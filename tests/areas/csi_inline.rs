//! An inline volume whose pod ends while it is still being made: it is told to try again, or all is gone.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use becket_tests::csi_driver::{mounted, wanted};
use becket_tests::{CsiDriver, MIB, Node, loop_files};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

/// How far a publication has come that another call runs into.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Making,
    Made,
    Staged,
}

impl Moment {
    fn has_come(self, node: &Node, id: &str) -> bool {
        let pool = node.path("state/pools/default");
        match self {
            Moment::Making => pool.join("preparing/volumes").join(id).exists(),
            Moment::Made => pool.join("volumes").join(id).exists(),
            Moment::Staged => node.is_mounted(&node.text(format!("state/staged/default/{id}"))),
        }
    }
}

struct Pod<'a> {
    node: &'a Node,
    served: &'a CsiDriver,
    id: String,
    target: String,
}

impl Pod<'_> {
    fn new<'a>(node: &'a Node, served: &'a CsiDriver, number: usize) -> Pod<'a> {
        let id = format!("csi-{number:064x}");
        Pod { node, served, target: node.text(format!("csi/pod-{number}")), id }
    }

    fn publication(&self) -> NodePublishVolumeRequest {
        let context = [("csi.storage.k8s.io/ephemeral", "true"), ("size", "16Mi")];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned()));
        NodePublishVolumeRequest {
            volume_id: self.id.clone(),
            target_path: self.target.clone(),
            volume_capability: Some(mounted(Mode::SingleNodeWriter)),
            volume_context: HashMap::from(context),
            ..Default::default()
        }
    }

    async fn unpublish(&self) -> Result<(), Code> {
        let (volume_id, target_path) = (self.id.clone(), self.target.clone());
        let request = NodeUnpublishVolumeRequest { volume_id, target_path };
        let answer = self.served.node().node_unpublish_volume(request).await;
        answer.map(drop).map_err(|status| status.code())
    }

    /// What the kubelet does: again and again, while it is told to.
    async fn unpublish_until_done(&self) {
        loop {
            match self.unpublish().await {
                Ok(()) => return,
                Err(code) => assert_eq!(code, Code::Aborted, "{}", self.id),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn is_gone(&self) {
        let node = self.node;
        assert!(!Path::new(&self.target).exists(), "`{}` is left", self.target);
        assert_eq!(node.mounts(), Vec::<std::path::PathBuf>::new());
        let pool = node.path("state/pools/default");
        for area in ["volumes", "preparing/volumes", "trash"] {
            let left = std::fs::read_dir(pool.join(area)).unwrap().flatten();
            let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
            assert!(left.is_empty() || left == ["kept"], "{area} has {left:?}");
        }
        assert!(becket_tests::until(|| loop_files(&node.path("")).is_empty()), "a device is left");
    }
}

fn ground() -> (Node, CsiDriver) {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    served.create(wanted("kept", 16 * MIB));
    (node, served)
}

const MOMENTS: [Moment; 3] = [Moment::Making, Moment::Made, Moment::Staged];

#[test]
fn a_pod_that_ends_while_its_inline_volume_is_made_leaves_nothing() {
    let (node, served) = ground();
    let mut met = 0;
    for number in 0..24 {
        let pod = Pod::new(&node, &served, number);
        let moment = MOMENTS[number % MOMENTS.len()];
        let (first, published) = served.run(async {
            let (mut client, request) = (served.node(), pod.publication());
            let publishing =
                tokio::spawn(async move { client.node_publish_volume(request).await.map(drop) });
            while !moment.has_come(&node, &pod.id) && !publishing.is_finished() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            let first = pod.unpublish().await;
            (first, publishing.await.unwrap())
        });
        match first {
            // It came when all was done.
            Ok(()) => pod.is_gone(),
            Err(code) => {
                assert_eq!(code, Code::Aborted, "at {moment:?}");
                met += 1;
                published.unwrap();
                assert!(node.is_mounted(&pod.target), "what was refused has changed something");
            }
        }
        served.run(pod.unpublish_until_done());
        pod.is_gone();
    }
    assert!(met > 0, "no unpublication has met a publication: this test has tested nothing");
}

#[test]
fn a_publication_that_nobody_waits_for_any_more_leaves_nothing() {
    let (node, served) = ground();
    for number in 0..12 {
        let pod = Pod::new(&node, &served, number);
        let moment = MOMENTS[number % MOMENTS.len()];
        served.run(async {
            let (mut client, request) = (served.node(), pod.publication());
            let publishing =
                tokio::spawn(async move { client.node_publish_volume(request).await.map(drop) });
            while !moment.has_come(&node, &pod.id) && !publishing.is_finished() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            // The kubelet's deadline.
            publishing.abort();
            pod.unpublish_until_done().await;
        });
        pod.is_gone();
    }
    std::thread::sleep(Duration::from_millis(200));
    Pod::new(&node, &served, 0).is_gone();
}
