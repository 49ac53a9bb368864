//! Inline ephemeral volumes: made by `NodePublishVolume`, gone with `NodeUnpublishVolume`.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::Need;
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use std::collections::HashMap;

pub(super) const CHECKS: &[Check] = &[
    check!("ephemeral-publish", Judgement,
        [Need::NodeService, Need::Ephemeral, Need::Here] => publish,
        "NodePublishVolume: an inline volume is made by it, though nothing was created or staged, \
         and the call is idempotent"),
    check!("ephemeral-unpublish-twice", Judgement,
        [Need::NodeService, Need::Ephemeral, Need::Here] => unpublish_twice,
        "NodeUnpublishVolume: of an inline volume that is gone already is OK; NOT_FOUND would \
         keep the pod terminating for ever"),
    check!("ephemeral-is-fresh", Judgement,
        [Need::NodeService, Need::Ephemeral, Need::Here] => fresh,
        "NodeUnpublishVolume: an inline volume ends with it; the next one of the same id is empty"),
];

/// An inline volume on its way, as the kubelet would publish it.
fn inline(g: &Ground) -> Verdict<OnNode> {
    let context: HashMap<String, String> = [
        ("csi.storage.k8s.io/ephemeral", "true"),
        ("csi.storage.k8s.io/pod.name", "becket-check"),
        ("csi.storage.k8s.io/pod.namespace", "default"),
        ("csi.storage.k8s.io/pod.uid", "7d3b4b6e-0000-4000-8000-000000000000"),
        ("csi.storage.k8s.io/serviceAccount.name", "default"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .chain(g.options.ephemeral.clone())
    .collect();
    let id = format!("csi-{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let volume = Volume {
        id,
        context,
        capacity: 0,
        access: Access::Mount,
        capability: ask::capability(Access::Mount, &g.options.fs_type),
        request: csi::CreateVolumeRequest::default(),
    };
    let target = g.places.target()?;
    Ok(OnNode { volume, publish_context: HashMap::new(), staging: String::new(), target })
}

async fn publish(g: &Ground) -> Verdict {
    let here = inline(g)?;
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    answer.when("an inline ephemeral volume").ok()?;
    here.expect_there()?;
    here.write(0, 1)?;
    let answer = g.calls.node_publish_volume(here.publish_request()).await;
    answer.when("an inline ephemeral volume, the same again").ok()?;
    here.expect(0, 1, "the inline volume after it was published again")?;
    g.calls.node_unpublish_volume(here.unpublish_request()).await.ok()?;
    here.expect_gone()
}

async fn unpublish_twice(g: &Ground) -> Verdict {
    let here = inline(g)?;
    g.calls.node_publish_volume(here.publish_request()).await.prepared()?;
    g.calls.node_unpublish_volume(here.unpublish_request()).await.ok()?;
    let answer = g.calls.node_unpublish_volume(here.unpublish_request()).await;
    answer.when("an inline ephemeral volume that is gone").ok().map(drop)
}

async fn fresh(g: &Ground) -> Verdict {
    let here = inline(g)?;
    g.calls.node_publish_volume(here.publish_request()).await.prepared()?;
    here.write(0, 1)?;
    g.calls.node_unpublish_volume(here.unpublish_request()).await.prepared()?;
    let again = g.elsewhere(&here)?;
    g.calls.node_publish_volume(again.publish_request()).await.prepared()?;
    let old = again.expect(0, 1, "the new inline volume").is_ok();
    let asked = "look into an inline volume whose id was used before";
    crate::csi::check::want(!old, asked, "the file of the first one", "an empty volume")
}
