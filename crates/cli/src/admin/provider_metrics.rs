//! What a TCP server counts of other processes' sockets, in the text form of OpenMetrics. Other servers write nothing.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::stats::{Engine, Figure, Provider};

/// Writes the numbers of every engine.
///
/// # Errors
/// Those of the encoder.
pub(super) fn encode(engines: &[Engine], encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let providers: Vec<_> =
        engines.iter().filter_map(|engine| Some((engine.core, engine.provider.as_ref()?))).collect();
    let Some((_, first)) = providers.first() else { return Ok(()) };
    for (at, Figure { name, help, .. }) in first.counters.iter().enumerate() {
        let name = format!("tcp_server_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (core, Provider { counters, .. }) in &providers {
            ConstCounter::new(counters[at].value).encode(metric.encode_family(&[("core", *core)])?)?;
        }
    }
    for (at, Figure { name, help, .. }) in first.gauges.iter().enumerate() {
        let name = format!("tcp_server_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (core, Provider { gauges, .. }) in &providers {
            ConstGauge::new(gauges[at].value as i64).encode(metric.encode_family(&[("core", *core)])?)?;
        }
    }
    Ok(())
}
