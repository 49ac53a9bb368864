//! `CreateVolume` again, with a name that is taken: the same volume, or ALREADY_EXISTS.

use crate::csi::ask::{self, UNKNOWN};
use crate::csi::check::{Check, Verdict, check, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CLONE, CREATE, MODIFY, Need, SNAPSHOT, TOPOLOGY};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("create-same-again", Must, [CREATE] => same,
        "CreateVolume: MUST be idempotent: a volume of this name that fits is answered with OK, \
         as the same volume"),
    check!("create-compatible-range", Must, [CREATE] => compatible,
        "CreateVolume: a volume that is compatible with the capacity_range is answered with OK, \
         also where the range is another one"),
    check!("create-other-size", Must, [CREATE] => larger,
        "CreateVolume: a volume of this name that is incompatible with the capacity_range is \
         ALREADY_EXISTS"),
    check!("create-other-limit", Must, [CREATE] => limit,
        "CreateVolume: a volume of this name that is incompatible with the capacity_range is \
         ALREADY_EXISTS"),
    check!("create-other-access-type", Must, [CREATE, Need::Mount, Need::Block] => access_type,
        "CreateVolume: a volume of this name that is incompatible with volume_capabilities is \
         ALREADY_EXISTS"),
    check!("create-other-parameters", Must, [CREATE] => parameters,
        "CreateVolume: a volume of this name that is incompatible with parameters is \
         ALREADY_EXISTS"),
    check!("create-other-good-parameters", Must, [CREATE, Need::OtherParameter] => good_parameters,
        "CreateVolume: a volume of this name that is incompatible with parameters is \
         ALREADY_EXISTS"),
    check!("create-other-topology", Must, [CREATE, TOPOLOGY, Need::NodeTopology] => topology,
        "CreateVolume: a volume of this name that is incompatible with accessibility_requirements \
         is ALREADY_EXISTS"),
    check!("create-other-source", Must, [CREATE, SNAPSHOT] => source,
        "CreateVolume: a volume of this name that is incompatible with volume_content_source is \
         ALREADY_EXISTS"),
    check!("create-other-source-volume", Must, [CREATE, CLONE] => source_volume,
        "CreateVolume: a volume of this name that is incompatible with volume_content_source is \
         ALREADY_EXISTS"),
    check!("create-other-mutable-parameters", Must, [CREATE, MODIFY] => mutable,
        "CreateVolume: only a volume compatible with mutable_parameters is answered with OK"),
];

const TAKEN: &[Code] = &[Code::AlreadyExists];
/// For arguments that are unknown as well as different.
const TAKEN_OR_INVALID: &[Code] = &[Code::AlreadyExists, Code::InvalidArgument];

/// Makes a volume and asks for it again, with the request changed by `change`.
async fn again(
    g: &Ground,
    what: &str,
    codes: &[Code],
    change: impl FnOnce(&mut csi::CreateVolumeRequest, &Volume),
) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = volume.request.clone();
    change(&mut request, &volume);
    let what = format!("the same name again, with {what}");
    g.calls.create_volume(request).await.when(what).is(codes)
}

async fn same(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let request = g.create_request(access);
        let first = g.calls.create_volume(request.clone()).await.prepared()?;
        let first = first.volume.unwrap_or_default();
        for _ in 0..3 {
            let answer =
                g.calls.create_volume(request.clone()).await.when("the same again").ok()?;
            let second = answer.volume.unwrap_or_default();
            let asked = "CreateVolume: the same again";
            let got = format!("the id `{}`", second.volume_id);
            let wanted = format!("the id `{}`", first.volume_id);
            want(first.volume_id == second.volume_id, asked, got, wanted)?;
            let same = first.volume_context == second.volume_context;
            want(same, asked, "another volume_context", "the same volume_context")?;
            let got = format!("capacity_bytes {}", second.capacity_bytes);
            let same = first.capacity_bytes == second.capacity_bytes;
            want(same, asked, got, first.capacity_bytes.to_string())?;
            let same = first.accessible_topology == second.accessible_topology;
            want(same, asked, "another accessible_topology", "the same accessible_topology")?;
        }
    }
    Ok(())
}

async fn compatible(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = volume.request.clone();
    request.capacity_range = ask::at_least(g.options.size / 2);
    let what = "the same name again, with half of required_bytes and no limit_bytes";
    let answer = g.calls.create_volume(request).await.when(what);
    let asked = answer.asked();
    let id = answer.ok()?.volume.unwrap_or_default().volume_id;
    want(id == volume.id, asked, format!("the id `{id}`"), format!("the id `{}`", volume.id))
}

async fn larger(g: &Ground) -> Verdict {
    again(g, "a required_bytes that the volume does not have", TAKEN, |request, volume| {
        let capacity = volume.capacity.max(ask::bytes(g.options.size));
        request.capacity_range = ask::range(capacity + (64 << 20), 0);
    })
    .await
}

async fn limit(g: &Ground) -> Verdict {
    again(g, "a limit_bytes below the volume's size", TAKEN, |request, volume| {
        let capacity = volume.capacity.max(ask::bytes(g.options.size));
        request.capacity_range = ask::range(0, capacity - (1 << 20));
    })
    .await
}

async fn access_type(g: &Ground) -> Verdict {
    again(g, "the other access type", TAKEN, |request, volume| {
        request.volume_capabilities = vec![g.capability(volume.access.other())];
    })
    .await
}

async fn parameters(g: &Ground) -> Verdict {
    again(g, "another parameter", TAKEN_OR_INVALID, |request, _| {
        request.parameters.insert(UNKNOWN.to_owned(), "1".to_owned());
    })
    .await
}

async fn good_parameters(g: &Ground) -> Verdict {
    again(g, "the parameters of --other-parameter", TAKEN, |request, _| {
        request.parameters.clone_from(&g.options.other_parameters);
    })
    .await
}

async fn topology(g: &Ground) -> Verdict {
    let codes = &[Code::AlreadyExists, Code::ResourceExhausted, Code::InvalidArgument];
    again(g, "a requisite topology of elsewhere", codes, |request, _| {
        let elsewhere = ask::elsewhere(&g.survey.topology);
        request.accessibility_requirements = Some(ask::requisite(&elsewhere));
    })
    .await
}

async fn source(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    again(g, "a snapshot as source", TAKEN, |request, _| {
        request.volume_content_source = ask::from_snapshot(&snapshot.snapshot_id);
    })
    .await?;
    let mut restored = g.create_request(volume.access);
    restored.volume_content_source = ask::from_snapshot(&snapshot.snapshot_id);
    g.volume_as(restored.clone()).await?;
    let other = g.snapshot(&volume).await?;
    restored.volume_content_source = ask::from_snapshot(&other.snapshot_id);
    let answer = g.calls.create_volume(restored.clone()).await;
    answer.when("the same name again, with another snapshot as source").is(TAKEN)?;
    restored.volume_content_source = None;
    let answer = g.calls.create_volume(restored).await;
    answer.when("the same name again, without its source").is(TAKEN)
}

async fn source_volume(g: &Ground) -> Verdict {
    let other = g.volume(g.access()).await?;
    again(g, "a volume as source", TAKEN, |request, _| {
        request.volume_content_source = ask::from_volume(&other.id);
    })
    .await
}

async fn mutable(g: &Ground) -> Verdict {
    again(g, "another mutable parameter", TAKEN_OR_INVALID, |request, _| {
        request.mutable_parameters.insert(UNKNOWN.to_owned(), "1".to_owned());
    })
    .await
}
