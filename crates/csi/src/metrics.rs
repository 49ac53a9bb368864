//! What is counted of the calls, for Prometheus.

use crate::plugin::Plugin;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// The counts of one process.
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Histogram, fn() -> Histogram>,
    pools: Family<Pool, Gauge>,
}

/// The names that csi-lib-utils gives its own histogram's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    driver_name: &'static str,
    method_name: &'static str,
    grpc_status_code: String,
}

/// One measure of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pool {
    driver_name: &'static str,
    pool: String,
    what: &'static str,
}

/// A metadata answer takes a tenth of a millisecond, a copy may take minutes.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 15.0, 60.0, 300.0];

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::default();
        let new: fn() -> Histogram = || Histogram::new(BOUNDS);
        let calls = Family::new_with_constructor(new);
        let about = "CSI calls answered, by driver, method and code";
        registry.register("csi_plugin_operations_seconds", about, calls.clone());
        let pools = Family::<Pool, Gauge>::default();
        let about = "Bytes of a pool: total, free, promised to volumes, and held by them alone";
        registry.register("becket_pool_bytes", about, pools.clone());
        Metrics { registry, calls, pools }
    }
}

impl Metrics {
    /// Counts one call.
    pub fn call(&self, driver: &'static str, rpc: &'static str, code: Code, elapsed: Duration) {
        let grpc_status_code = format!("{code:?}");
        let labels = Call { driver_name: driver, method_name: rpc, grpc_status_code };
        self.calls.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }

    /// Measures the pools of `plugins` as they are now. One that cannot be measured is left out.
    pub fn pools(&self, plugins: &[Arc<Plugin>]) {
        self.pools.clear();
        for plugin in plugins {
            for pool in plugin.pools().map(|(pools, _)| pools).unwrap_or_default() {
                let Ok(capacity) = plugin.engine.capacity(&pool) else { continue };
                for (what, bytes) in [
                    ("total", capacity.total),
                    ("free", capacity.free),
                    ("promised", capacity.promised),
                    ("held", capacity.held),
                ] {
                    let (driver_name, pool) = (plugin.driver.name(), pool.to_string());
                    let gauge = self.pools.get_or_create(&Pool { driver_name, pool, what });
                    gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
                }
            }
        }
    }

    /// Everything in the text form of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
