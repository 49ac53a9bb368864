//! The protocols as generated from `proto/`: CSI 1.13.0 (`csi.proto` of the specification) and the
//! kubelet's plugin registration, version 1.

/// `csi.v1`: the messages, the servers' traits and the clients of all five services.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod csi {
    tonic::include_proto!("csi.v1");
}

/// `pluginregistration`: how a driver makes itself known to the kubelet.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod registration {
    tonic::include_proto!("pluginregistration");
}

/// The encoded `FileDescriptorSet` of both, with the comments left out and every import in.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod tests {
    use super::DESCRIPTORS;
    use prost_reflect::DescriptorPool;

    #[test]
    fn the_descriptors_know_every_service_and_which_fields_are_secret() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let methods: usize = pool
            .services()
            .filter(|service| service.package_name() == "csi.v1")
            .map(|service| service.methods().len())
            .sum();
        assert_eq!(methods, 36);
        let secret = pool.get_extension_by_name("csi.v1.csi_secret").unwrap();
        let stage = pool.get_message_by_name("csi.v1.NodeStageVolumeRequest").unwrap();
        let is_secret = |name: &str| {
            let options = stage.get_field_by_name(name).unwrap().options();
            options.get_extension(&secret).as_bool() == Some(true)
        };
        assert!(is_secret("secrets") && !is_secret("volume_id"));
    }
}
