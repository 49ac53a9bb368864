//! What the cluster knows of a driver's pools: there are volumes in them, and which pools those are.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::BTreeSet;

/// The attribute of a volume that says which pool it is in, by its identity.
const POOL_UUID: &str = "poolUuid";

/// What persistent volumes say of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// None is in it.
    No,
    /// There are some, which do not say which pool it is, or say different things.
    Somehow,
    /// There are some, of the pool of this identity.
    As(String),
}

/// What the persistent volumes of `driver` say of the pool, of the cluster that this process runs in, or of
/// `KUBECONFIG`. An error, in words, where that is not known. It blocks: this is for threads of their own.
pub fn known(driver: &str, pool: &str) -> Result<Known, String> {
    let cannot = |error: &dyn std::fmt::Display| {
        format!("it is not known what volumes the cluster has: {error}")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let listed = runtime.map_err(|error| cannot(&error))?.block_on(async {
        let api: Api<PersistentVolume> = Api::all(Client::try_default().await?);
        Ok(api.list(&ListParams::default()).await?)
    });
    let listed = listed.map_err(|error: Box<dyn std::error::Error>| cannot(&error))?;
    Ok(said(&listed.items, driver, pool))
}

fn said(volumes: &[PersistentVolume], driver: &str, pool: &str) -> Known {
    let sources = volumes.iter().filter_map(|volume| volume.spec.as_ref()?.csi.as_ref());
    let within = |id: &str| id.split_once('/').is_some_and(|(first, _)| first == pool);
    let ours: Vec<_> =
        sources.filter(|it| it.driver == driver && within(&it.volume_handle)).collect();
    let word = |attributes: &crate::driver::Words| attributes.get(POOL_UUID).cloned();
    let uuids: BTreeSet<String> =
        ours.iter().filter_map(|it| it.volume_attributes.as_ref().and_then(word)).collect();
    match (ours.is_empty(), uuids.len(), uuids.into_iter().next()) {
        (true, _, _) => Known::No,
        (false, 1, Some(uuid)) => Known::As(uuid),
        (false, _, _) => Known::Somehow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn volume(driver: &str, id: &str, attributes: Value) -> PersistentVolume {
        let csi = json!({"driver": driver, "volumeHandle": id, "volumeAttributes": attributes});
        serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": {"csi": csi}})).unwrap()
    }

    #[test]
    fn volumes_say_which_pool_they_are_in() {
        let ours = |id: &str, attributes: Value| volume("nfs.becket.dev", id, attributes);
        let said = |all: &[PersistentVolume]| said(all, "nfs.becket.dev", "shared");
        let marked = |uuid: &str| json!({"poolUuid": uuid});
        assert_eq!(said(&[]), Known::No);
        assert_eq!(said(&[ours("other/a", json!({})), ours("shared2/a", json!({}))]), Known::No);
        assert_eq!(said(&[volume("x", "shared/a", json!({}))]), Known::No);
        assert_eq!(said(&[ours("shared/a", json!({}))]), Known::Somehow);
        let one = [ours("shared/a", json!({})), ours("shared/b", marked("u1"))];
        assert_eq!(said(&one), Known::As("u1".to_owned()));
        let two = [ours("shared/a", marked("u1")), ours("shared/b", marked("u2"))];
        assert_eq!(said(&two), Known::Somehow);
    }
}
