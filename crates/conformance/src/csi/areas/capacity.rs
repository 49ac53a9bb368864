//! `GetCapacity`: what room there is, and for what.

use crate::csi::ask::{self, Access, UNKNOWN};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CAPACITY, CREATE, Need, TOPOLOGY};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("capacity-not-negative", Must, [CAPACITY] => not_negative,
        "GetCapacity: available_capacity, maximum_volume_size and minimum_volume_size MUST NOT be \
         negative"),
    check!("capacity-falls", Judgement, [CAPACITY, CREATE] => falls,
        "GetCapacity: a new volume does not make more room, or CSIStorageCapacity objects mislead \
         the scheduler"),
    check!("capacity-of-this-node", Must, [CAPACITY, TOPOLOGY, Need::NodeTopology] => of_this_node,
        "GetCapacity: SHALL report the capacity in the specified accessible_topology; this node's \
         is where volumes are made"),
    check!("capacity-of-elsewhere", Must, [CAPACITY, TOPOLOGY, Need::NodeTopology] => of_elsewhere,
        "GetCapacity: SHALL report the capacity in the specified accessible_topology; nothing can \
         be made in one that does not exist"),
    check!("capacity-for-unknown-filesystem", Must,
        [CAPACITY, Need::Mount] => for_unknown_filesystem,
        "GetCapacity: SHALL report the capacity for volumes that satisfy ALL of the \
         volume_capabilities"),
    check!("capacity-for-unknown-parameter", Should, [CAPACITY] => for_unknown_parameter,
        "GetCapacity: SHALL report the capacity for volumes with the given parameters"),
    check!("capacity-maximum-size", Must, [CAPACITY, CREATE] => maximum,
        "GetCapacity: maximum_volume_size is the largest size that may be used in CreateVolume"),
    check!("capacity-minimum-size", Must, [CAPACITY, CREATE] => minimum,
        "GetCapacity: minimum_volume_size is the smallest limit_bytes that may be used in \
         CreateVolume"),
];

fn usual(g: &Ground) -> csi::GetCapacityRequest {
    csi::GetCapacityRequest {
        volume_capabilities: vec![g.capability(g.access())],
        parameters: g.options.parameters.clone(),
        accessible_topology: None,
    }
}

async fn not_negative(g: &Ground) -> Verdict {
    for request in [csi::GetCapacityRequest::default(), usual(g)] {
        let answer = g.calls.get_capacity(request).await.ok()?;
        for (field, value) in [
            ("available_capacity", Some(answer.available_capacity)),
            ("maximum_volume_size", answer.maximum_volume_size),
            ("minimum_volume_size", answer.minimum_volume_size),
        ] {
            let value = value.unwrap_or(0);
            want(value >= 0, "GetCapacity", format!("{field} {value}"), "0 or more")?;
        }
    }
    Ok(())
}

async fn falls(g: &Ground) -> Verdict {
    // Others work on the same disk; a few blocks prove nothing.
    const NOISE: i64 = 16 << 20;
    let before = g.calls.get_capacity(usual(g)).await.prepared()?.available_capacity;
    g.volume(g.access()).await?;
    let after = g.calls.get_capacity(usual(g)).await.prepared()?.available_capacity;
    let got = format!("{after} after {before}");
    want(after <= before + NOISE, "GetCapacity after CreateVolume", got, "not more than before")
}

async fn of_this_node(g: &Ground) -> Verdict {
    let here = csi::Topology { segments: g.survey.topology.clone() };
    let request = csi::GetCapacityRequest { accessible_topology: Some(here), ..usual(g) };
    let answer = g.calls.get_capacity(request).await.when("this node's topology").ok()?;
    let got = format!("available_capacity {}", answer.available_capacity);
    let there = answer.available_capacity > 0;
    want(there, "GetCapacity: this node's topology", got, "more than nothing")
}

/// Fails when there is room for what cannot be made.
async fn no_room(g: &Ground, request: csi::GetCapacityRequest, what: &str) -> Verdict {
    let answer = g.calls.get_capacity(request).await.when(what);
    if answer.code() == Code::InvalidArgument {
        return Ok(());
    }
    let asked = answer.asked();
    let available = answer.ok()?.available_capacity;
    let got = format!("available_capacity {available}");
    want(available == 0, asked, got, "0, or INVALID_ARGUMENT")
}

async fn of_elsewhere(g: &Ground) -> Verdict {
    let elsewhere = csi::Topology { segments: ask::elsewhere(&g.survey.topology) };
    let request = csi::GetCapacityRequest { accessible_topology: Some(elsewhere), ..usual(g) };
    no_room(g, request, "a topology of elsewhere").await
}

async fn for_unknown_filesystem(g: &Ground) -> Verdict {
    let capability = ask::capability(Access::Mount, "no-such-fs");
    let request = csi::GetCapacityRequest { volume_capabilities: vec![capability], ..usual(g) };
    no_room(g, request, "fs_type `no-such-fs`").await
}

async fn for_unknown_parameter(g: &Ground) -> Verdict {
    let mut request = usual(g);
    request.parameters.insert(UNKNOWN.to_owned(), "1".to_owned());
    no_room(g, request, "an unknown parameter").await
}

const REFUSED: &[Code] = &[Code::OutOfRange, Code::ResourceExhausted, Code::InvalidArgument];

async fn maximum(g: &Ground) -> Verdict {
    let answer = g.calls.get_capacity(usual(g)).await.ok()?;
    let Some(maximum) = answer.maximum_volume_size else {
        return skip("the driver gives no maximum_volume_size");
    };
    let mut request = g.create_request(g.access());
    request.capacity_range = ask::range(maximum.saturating_add(1 << 30), 0);
    let answer = g.calls.create_volume(request).await;
    answer.when("1 GiB more than maximum_volume_size").is(REFUSED)
}

async fn minimum(g: &Ground) -> Verdict {
    let answer = g.calls.get_capacity(usual(g)).await.ok()?;
    let Some(minimum) = answer.minimum_volume_size.filter(|minimum| *minimum > 1) else {
        return skip("the driver gives no minimum_volume_size");
    };
    let mut request = g.create_request(g.access());
    request.capacity_range = ask::range(0, minimum - 1);
    let answer = g.calls.create_volume(request).await;
    answer.when("a limit_bytes below minimum_volume_size").is(REFUSED)?;
    let mut request = g.create_request(g.access());
    request.capacity_range = ask::range(0, minimum);
    let answer = g.calls.create_volume(request).await;
    answer.when("limit_bytes of minimum_volume_size").ok().map(drop)
}
