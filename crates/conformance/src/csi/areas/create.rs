//! `CreateVolume`: what a new volume must be, and what may not be made.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Tally, Verdict, check, skip, want};
use crate::csi::ground::{Ground, made};
use crate::csi::need::{CREATE, MODIFY, Need};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("create-volume", Must, [CREATE] => create,
        "CreateVolume: answers with the volume, its id of at most 128 bytes, a volume_context of \
         at most 4 KiB and a capacity that is not below the request"),
    check!("create-block-volume", Must, [CREATE, Need::Block] => create_block,
        "CreateVolume: a volume with BlockVolume access MUST match the requested capacity_range"),
    check!("create-without-range", Must, [CREATE] => without_range,
        "CreateVolume: capacity_range is OPTIONAL; without it the plugin chooses"),
    check!("create-several-capabilities", Must, [CREATE, Need::Mount] => several,
        "CreateVolume: the volume satisfies ALL of the capabilities, or the call fails; an \
         unsupported one among them is not overlooked"),
    check!("create-single-writer", Must, [CREATE] => single_writer,
        "AccessMode: plugins with SINGLE_NODE_MULTI_WRITER MUST accept SINGLE_NODE_WRITER, and \
         have at least one of the two newer modes"),
    check!("create-unknown-parameter", Should, [CREATE] => unknown_parameter,
        "CreateVolume: the plugin is responsible for parsing and validating parameters; an \
         unknown one is INVALID_ARGUMENT"),
    check!("create-kubernetes-parameters", Judgement, [CREATE] => kubernetes_parameters,
        "CreateVolume: external-provisioner adds csi.storage.k8s.io/pv/name and the like, which \
         are no reason to refuse"),
    check!("create-unknown-filesystem", Judgement, [CREATE, Need::Mount] => unknown_filesystem,
        "CreateVolume: a volume MUST satisfy its capabilities, so an fs_type that cannot be is \
         INVALID_ARGUMENT and not left for the node to find out"),
    check!("create-unknown-mutable-parameter", Must, [CREATE, MODIFY] => unknown_mutable,
        "CreateVolume: the plugin is responsible for parsing and validating mutable_parameters; \
         an unknown one is INVALID_ARGUMENT"),
    check!("create-refused-leaves-nothing", Should, [CREATE] => leaves_nothing,
        "CreateVolume: what was refused with a final code is not half there; the same name works \
         with good arguments"),
];

async fn create(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let request = g.create_request(access);
        let answer = g.calls.create_volume(request.clone()).await.ok()?;
        judge(&request, &answer)?;
        made(request, answer)?;
    }
    match g.access_types().is_empty() {
        false => Ok(()),
        // Neither kind could be made: show how the driver refuses.
        true => {
            let request = g.create_request(Access::Mount);
            g.calls.create_volume(request).await.ok().map(drop)
        }
    }
}

/// What holds for every answer.
fn judge(request: &csi::CreateVolumeRequest, answer: &csi::CreateVolumeResponse) -> Verdict {
    let volume = answer.volume.clone().unwrap_or_default();
    let id = volume.volume_id.len();
    want(
        (1..=128).contains(&id),
        "CreateVolume",
        format!("an id of {id} bytes"),
        "1 to 128 bytes",
    )?;
    let size = |(key, value): (&String, &String)| key.len() + value.len();
    let context: usize = volume.volume_context.iter().map(size).sum();
    let got = format!("a volume_context of {context} bytes");
    want(context <= 4096, "CreateVolume", got, "at most 4 KiB")?;
    let required = request.capacity_range.unwrap_or_default().required_bytes;
    let capacity = volume.capacity_bytes;
    // 0 says that the capacity is not known.
    let got = format!("capacity_bytes {capacity}");
    want(capacity == 0 || capacity >= required, "CreateVolume", got, format!("{required} or more"))
}

async fn create_block(g: &Ground) -> Verdict {
    let request = g.create_request(Access::Block);
    let volume = g.calls.create_volume(request).await.ok()?.volume.unwrap_or_default();
    let wanted = ask::bytes(g.options.size);
    let got = format!("capacity_bytes {}", volume.capacity_bytes);
    want(volume.capacity_bytes >= wanted, "CreateVolume", got, format!("{wanted} or more"))
}

async fn without_range(g: &Ground) -> Verdict {
    let request = csi::CreateVolumeRequest { capacity_range: None, ..g.create_request(g.access()) };
    let answer = g.calls.create_volume(request).await.when("without capacity_range").ok()?;
    let capacity = answer.volume.unwrap_or_default().capacity_bytes;
    let got = format!("capacity_bytes {capacity}");
    want(capacity >= 0, "CreateVolume: without capacity_range", got, "no negative number")
}

async fn several(g: &Ground) -> Verdict {
    let mut request = g.create_request(Access::Mount);
    request.volume_capabilities.push(g.with_mode(Access::Mount, Mode::SingleNodeReaderOnly));
    let answer = g.calls.create_volume(request).await.when("two capabilities");
    // A driver may have only one of the modes; it may not fail otherwise.
    answer.is(&[Code::Ok, Code::InvalidArgument])?;
    let mut request = g.create_request(Access::Mount);
    request.volume_capabilities.push(ask::capability(Access::Mount, "no-such-fs"));
    let answer = g.calls.create_volume(request).await;
    answer.when("two capabilities, the second with fs_type `no-such-fs`").refused()
}

async fn single_writer(g: &Ground) -> Verdict {
    use csi::controller_service_capability::rpc::Type as Controller;
    if !g.survey.controller.contains(&Controller::SingleNodeMultiWriter) {
        return skip("the driver does not claim SINGLE_NODE_MULTI_WRITER");
    }
    let access = g.access();
    let asks = |mode| csi::CreateVolumeRequest {
        volume_capabilities: vec![g.with_mode(access, mode)],
        ..g.create_request(access)
    };
    let answer = g.calls.create_volume(asks(Mode::SingleNodeWriter)).await;
    answer.when("SINGLE_NODE_WRITER").ok()?;
    let single = g.calls.create_volume(asks(Mode::SingleNodeSingleWriter)).await;
    let multi = g.calls.create_volume(asks(Mode::SingleNodeMultiWriter)).await;
    let got = format!("single: {}, multi: {}", single.shown(), multi.shown());
    let there = single.result.is_ok() || multi.result.is_ok();
    want(there, "CreateVolume: SINGLE_NODE_SINGLE_WRITER and SINGLE_NODE_MULTI_WRITER", got, "OK")
}

async fn unknown_parameter(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    request.parameters.insert(ask::UNKNOWN.to_owned(), "1".to_owned());
    let answer = g.calls.create_volume(request).await.when("an unknown parameter");
    answer.is(&[Code::InvalidArgument])
}

async fn kubernetes_parameters(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    for key in ["pvc/name", "pvc/namespace", "pv/name"] {
        let key = format!("csi.storage.k8s.io/{key}");
        request.parameters.insert(key, "becket-check".to_owned());
    }
    let answer = g.calls.create_volume(request).await.when("parameters of external-provisioner");
    answer.ok().map(drop)
}

async fn unknown_filesystem(g: &Ground) -> Verdict {
    let mut request = g.create_request(Access::Mount);
    request.volume_capabilities = vec![ask::capability(Access::Mount, "no-such-fs")];
    let answer = g.calls.create_volume(request).await.when("fs_type `no-such-fs`");
    answer.is(&[Code::InvalidArgument])
}

async fn unknown_mutable(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    request.mutable_parameters.insert(ask::UNKNOWN.to_owned(), "1".to_owned());
    let answer = g.calls.create_volume(request).await.when("an unknown mutable parameter");
    answer.is(&[Code::InvalidArgument])
}

async fn leaves_nothing(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let good = g.create_request(g.access());
    let mut bad = good.clone();
    bad.capacity_range = ask::range(1 << 61, 0);
    let refused = g.calls.create_volume(bad).await;
    if refused.result.is_ok() {
        return skip("a volume of 2 EiB was not refused");
    }
    let answer = g.calls.create_volume(good).await.when("a name that was refused before");
    tally.take(answer.ok().map(drop))?;
    tally.verdict()
}
