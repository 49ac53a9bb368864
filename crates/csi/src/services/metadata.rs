//! SnapshotMetadata: where a snapshot has data, and where two of them differ.

use crate::plugin::Plugin;
use crate::protocol::csi::snapshot_metadata_server::SnapshotMetadata;
use crate::protocol::csi::{
    BlockMetadata, BlockMetadataType, GetMetadataAllocatedRequest, GetMetadataAllocatedResponse,
    GetMetadataDeltaRequest, GetMetadataDeltaResponse,
};
use crate::work::{Stream, Work};
use becket_core::engine::{Range, Ranges};
use becket_core::{Error, Kind, Result};
use tonic::{Request, Response, Status};

/// Ranges in one message, where the caller does not say: 20 KB or so.
const MOST: usize = 1024;

/// The SnapshotMetadata service.
#[derive(Clone)]
pub struct MetadataService(pub Work);

#[tonic::async_trait]
impl SnapshotMetadata for MetadataService {
    type GetMetadataAllocatedStream = Stream<GetMetadataAllocatedResponse>;
    type GetMetadataDeltaStream = Stream<GetMetadataDeltaResponse>;

    async fn get_metadata_allocated(
        &self,
        request: Request<GetMetadataAllocatedRequest>,
    ) -> std::result::Result<Response<Self::GetMetadataAllocatedStream>, Status> {
        self.0.stream("GetMetadataAllocated", request, allocated).await
    }

    async fn get_metadata_delta(
        &self,
        request: Request<GetMetadataDeltaRequest>,
    ) -> std::result::Result<Response<Self::GetMetadataDeltaStream>, Status> {
        self.0.stream("GetMetadataDelta", request, delta).await
    }
}

/// Sends one message; false when nobody wants more.
type Send<'a, A> = &'a mut dyn FnMut(A) -> bool;

fn allocated(
    plugin: &Plugin,
    request: GetMetadataAllocatedRequest,
    send: Send<'_, GetMetadataAllocatedResponse>,
) -> Result<()> {
    let most = most(request.max_results)?;
    let (id, _) = plugin.snapshot(&request.snapshot_id)?;
    let from = offset(request.starting_offset)?;
    let ranges = plugin.engine.allocated_ranges(&id.pool, &id.name, from)?;
    tell(ranges, from, most, &mut |size, block_metadata| {
        send(GetMetadataAllocatedResponse {
            block_metadata_type: BlockMetadataType::VariableLength as i32,
            volume_capacity_bytes: size,
            block_metadata,
        })
    })
}

fn delta(
    plugin: &Plugin,
    request: GetMetadataDeltaRequest,
    send: Send<'_, GetMetadataDeltaResponse>,
) -> Result<()> {
    let most = most(request.max_results)?;
    if request.base_snapshot_id.is_empty() || request.target_snapshot_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "one of the two snapshots' ids is missing"));
    }
    let (base, _) = plugin.snapshot(&request.base_snapshot_id)?;
    let (target, _) = plugin.snapshot(&request.target_snapshot_id)?;
    if base.pool != target.pool {
        return Err(Error::new(
            Kind::Invalid,
            format!("snapshots `{base}` and `{target}` are not of one volume"),
        ));
    }
    let from = offset(request.starting_offset)?;
    let ranges = plugin.engine.changed_ranges(&base.pool, &base.name, &target.name, from)?;
    tell(ranges, from, most, &mut |size, block_metadata| {
        send(GetMetadataDeltaResponse {
            block_metadata_type: BlockMetadataType::VariableLength as i32,
            volume_capacity_bytes: size,
            block_metadata,
        })
    })
}

/// Tells all ranges that end behind `from`, in messages of at most `most`. There is always a first
/// message, which says how large the volume is.
fn tell(
    mut ranges: Ranges,
    from: u64,
    most: usize,
    send: &mut dyn FnMut(i64, Vec<BlockMetadata>) -> bool,
) -> Result<()> {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let size = number(ranges.size());
    let block = |range: Range| BlockMetadata {
        byte_offset: number(range.offset),
        size_bytes: number(range.length),
    };
    let mut first = true;
    while let Some(batch) = ranges.next_batch(most)? {
        let blocks: Vec<_> = batch.into_iter().filter(|range| range.end() > from).collect();
        if blocks.is_empty() {
            continue;
        }
        first = false;
        if !send(size, blocks.into_iter().map(block).collect()) {
            return Ok(());
        }
    }
    if first {
        send(size, Vec::new());
    }
    Ok(())
}

fn most(given: i32) -> Result<usize> {
    match usize::try_from(given) {
        Ok(0) => Ok(MOST),
        // Larger messages would not be faster, and must not be larger than a client takes.
        Ok(given) => Ok(given.min(MOST)),
        Err(_) => Err(Error::new(Kind::Invalid, format!("max_results is negative: {given}"))),
    }
}

fn offset(given: i64) -> Result<u64> {
    u64::try_from(given).map_err(|_| {
        Error::new(Kind::OutOfRange, format!("the starting offset is negative: {given}"))
    })
}
