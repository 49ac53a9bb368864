//! Drivers that are right as long as one call comes after the other; and what errors carry.

use super::node::{PUBLISH, bind};
use crate::fault::{Fault, fault};
use crate::rules::{errors, instead, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Response, Status};

pub fn faults() -> Vec<Fault> {
    vec![
        fault(
            "publishing mounts again",
            || {
                vec![then(PUBLISH, |request: &csi::NodePublishVolumeRequest| {
                    let path = Path::new(&request.target_path);
                    bind(path, path);
                })]
            },
            &["burst-publish"],
        ),
        fault(
            "volumes are made one at a time",
            || {
                let busy = Arc::new(AtomicU64::new(0));
                vec![instead("CreateVolume", move |channel, request: csi::CreateVolumeRequest| {
                    let busy = Arc::clone(&busy);
                    async move {
                        if busy.fetch_add(1, Ordering::SeqCst) > 0 {
                            busy.fetch_sub(1, Ordering::SeqCst);
                            return Err(Status::internal("another volume is being made"));
                        }
                        let mut client = ControllerClient::new(channel);
                        let made = client.create_volume(request).await.map(Response::into_inner);
                        busy.fetch_sub(1, Ordering::SeqCst);
                        made
                    }
                })]
            },
            &["parallel-volumes", "burst-create"],
        ),
        fault(
            "errors say nothing",
            || vec![errors(|status| Status::new(status.code(), ""))],
            &["errors-have-messages"],
        ),
        fault(
            "errors show secrets",
            || {
                vec![errors(|status| {
                    Status::new(status.code(), format!("{} (open sesame)", status.message()))
                })]
            },
            &["errors-have-no-secrets"],
        ),
        fault(
            "errors have details",
            || {
                vec![errors(|status| {
                    Status::with_details(status.code(), status.message(), b"details"[..].into())
                })]
            },
            &["errors-have-no-details"],
        ),
    ]
}
