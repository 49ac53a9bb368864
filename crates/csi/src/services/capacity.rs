//! `GetCapacity`: what a pool can still promise here.

use super::create::expect_pool;
use crate::capability::Capability;
use crate::class::Class;
use crate::plugin::Plugin;
use crate::protocol::csi::{GetCapacityRequest, GetCapacityResponse};
use becket_core::record::{Content, Provisioning};
use becket_core::{Result, size};

/// The room for one more volume of the class, 0 where none can be.
pub fn capacity(plugin: &Plugin, request: GetCapacityRequest) -> Result<GetCapacityResponse> {
    let class = Class::read(plugin.driver, &request.parameters)?;
    let wanted: Result<Vec<Capability>> =
        request.volume_capabilities.iter().map(|given| Capability::read(Some(given))).collect();
    let wanted = wanted?;
    let usual = class.content.unwrap_or(class.usual(plugin.driver));
    let suits = |capability: &Capability| capability.suits(plugin.driver, usual).is_ok();
    let possible = wanted.iter().all(suits);
    let here = request.accessible_topology.as_ref().is_none_or(|topology| plugin.is_in(topology));
    if !possible || !here {
        return Ok(GetCapacityResponse::default());
    }
    let pool = class.pool(plugin.driver)?;
    if !plugin.engine.state().knows_pool(&pool)? {
        return Ok(GetCapacityResponse::default());
    }
    let pool = expect_pool(plugin, pool)?;
    let capacity = plugin.engine.capacity(&pool)?;
    let granule = plugin.engine.granularity(&pool, &class.parameters)?;
    let provisioning = plugin.engine.provisioning(&pool)?;
    let room = match class.provisioning.unwrap_or(provisioning) {
        Provisioning::Thin => capacity.thin,
        Provisioning::Thick => capacity.thick,
    };
    // One volume may take all of it, in whole granules.
    let room = i64::try_from(room / granule * granule).unwrap_or(i64::MAX);
    let contents = wanted.iter().map(|capability| capability.content(plugin.driver));
    let content = contents.collect::<Result<Vec<_>>>()?.into_iter().flatten().next();
    let content = content.unwrap_or(usual);
    Ok(GetCapacityResponse {
        available_capacity: room,
        maximum_volume_size: Some(room),
        minimum_volume_size: Some(smallest(content, granule)),
    })
}

fn smallest(content: Content, granule: u64) -> i64 {
    let bytes = content.filesystem().map_or(granule, becket_sys::filesystem::smallest);
    i64::try_from(size::round_up_to(bytes, granule)).unwrap_or(i64::MAX)
}
