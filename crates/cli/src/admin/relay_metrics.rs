//! What other servers do, in the text form of OpenMetrics. Nothing is written without any.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::metrics::{count, counter, gauge};
use crate::stats::{Backend, Class, Snapshot};

/// Name, help, value.
type Row<T, N> = (&'static str, &'static str, fn(&T) -> N);

const GAUGES: [Row<Backend, f64>; 6] = [
    ("healthy", "1 unless checks say that the backend does not work", |b| f64::from(u8::from(b.healthy))),
    ("ejected", "1 while the backend is left alone because of how it answered", |b| f64::from(u8::from(b.ejected))),
    ("draining", "1 if the backend gets only what already belongs to it", |b| f64::from(u8::from(b.draining))),
    ("weight", "The backend's share", |b| f64::from(b.weight)),
    ("active", "Requests in flight to the backend", |b| b.active as f64),
    ("latency_seconds", "A mean of the backend's latest latencies", |b| b.latency_us / 1e6),
];

const COUNTERS: [Row<Backend, u64>; 5] = [
    ("requests", "Requests that were tried with the backend", |b| b.requests),
    ("failures", "Of these, failed ones, statuses from 500 on included", |b| b.failures),
    ("sent_bytes", "Octets sent to the backend", |b| b.sent_octets),
    ("received_bytes", "Octets received from the backend", |b| b.received_octets),
    ("ejections", "Times that the backend was left alone because of how it answered", |b| b.ejections),
];

const COUNTERS_OF_CLASSES: [Row<Class, u64>; 2] = [
    ("class_requests", "Requests of the class", |c| c.requests),
    ("class_refused", "Of these, refused ones", |c| c.refused),
];

const GAUGES_OF_CLASSES: [Row<Class, f64>; 2] = [
    ("class_waiting", "Requests of the class that wait for their turn", |c| c.waiting as f64),
    ("class_running", "Requests of the class in progress, with those that wait", |c| c.running as f64),
];

/// Writes what there is of pools, backends, classes and purges.
///
/// # Errors
/// Those of the encoder.
pub(super) fn encode(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let Some(relay) = &snapshot.relay else { return Ok(()) };
    gauge(encoder, "flights", "Responses under way that others may join", None, relay.flights)?;
    let held = "Responses under way that are held for those who read them";
    gauge(encoder, "flights_held", held, Some(Unit::Bytes), relay.held_octets)?;
    let help = "Purges of what came from backends, and unsafe requests that made something out of date";
    counter(encoder, "relay_purges", help, relay.purges)?;
    let help = "Purges that not everything in the cache was compared with";
    gauge(encoder, "relay_purges_unswept", help, None, relay.purges_unswept)?;
    let help = "Objects that comparing took out or found to be out of date";
    counter(encoder, "relay_swept_objects", help, relay.swept_objects)?;
    pools(snapshot, encoder)?;
    classes(&snapshot.classes, encoder)
}

fn pools(snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let help = "Requests that wait for a connection";
    let mut metric = encoder.encode_descriptor("pool_waiting", help, None, MetricType::Gauge)?;
    for pool in &snapshot.pools {
        ConstGauge::new(pool.waiting as f64).encode(metric.encode_family(&[("pool", pool.name.as_str())])?)?;
    }
    let backends = || snapshot.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
    for (name, help, field) in GAUGES {
        let name = format!("backend_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (pool, backend) in backends() {
            let labels = [("pool", pool.name.as_str()), ("backend", backend.name.as_str())];
            ConstGauge::new(field(backend)).encode(metric.encode_family(&labels)?)?;
        }
    }
    for (name, help, field) in COUNTERS {
        let name = format!("backend_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (pool, backend) in backends() {
            count(&mut metric, &[("pool", pool.name.as_str()), ("backend", backend.name.as_str())], field(backend))?;
        }
    }
    let help = "Checks of the backend by what they found";
    let mut metric = encoder.encode_descriptor("backend_checks", help, None, MetricType::Counter)?;
    for (pool, backend) in backends() {
        for (result, number) in [("passed", backend.checks_passed), ("failed", backend.checks_failed)] {
            let labels = [("pool", pool.name.as_str()), ("backend", backend.name.as_str()), ("result", result)];
            count(&mut metric, &labels, number)?;
        }
    }
    Ok(())
}

fn classes(classes: &[Class], encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    for (name, help, field) in COUNTERS_OF_CLASSES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for class in classes {
            count(&mut metric, &[("class", class.name.as_str())], field(class))?;
        }
    }
    for (name, help, field) in GAUGES_OF_CLASSES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for class in classes {
            ConstGauge::new(field(class)).encode(metric.encode_family(&[("class", class.name.as_str())])?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::render;
    use super::*;
    use crate::stats::{Pool, Relay};

    #[test]
    fn every_kind_of_number_is_written() {
        let one = Backend {
            name: "a:80".into(),
            healthy: true,
            weight: 2,
            requests: 7,
            received_octets: 9,
            latency_us: 1500.0,
            checks_failed: 3,
            ..Backend::default()
        };
        let other = Backend { name: "b:80".into(), ejected: true, ..Backend::default() };
        let class = Class { name: "first".into(), requests: 5, waiting: 2, ..Class::default() };
        let snapshot = Snapshot {
            pools: vec![Pool { name: "app".into(), waiting: 4, backends: vec![one, other] }],
            classes: vec![class],
            relay: Some(Relay { flights: 1, held_octets: 6, purges: 8, purges_unswept: 1, swept_objects: 2 }),
            ..Snapshot::default()
        };
        let text = render(snapshot, Vec::new()).unwrap();
        for line in [
            "afpa_flights 1",
            "afpa_flights_held_bytes 6",
            "afpa_relay_purges_total 8",
            "afpa_relay_purges_unswept 1",
            "afpa_relay_swept_objects_total 2",
            "afpa_pool_waiting{pool=\"app\"} 4.0",
            "afpa_backend_healthy{pool=\"app\",backend=\"a:80\"} 1.0",
            "afpa_backend_healthy{pool=\"app\",backend=\"b:80\"} 0.0",
            "afpa_backend_ejected{pool=\"app\",backend=\"b:80\"} 1.0",
            "afpa_backend_weight{pool=\"app\",backend=\"a:80\"} 2.0",
            "afpa_backend_latency_seconds{pool=\"app\",backend=\"a:80\"} 0.0015",
            "afpa_backend_requests_total{pool=\"app\",backend=\"a:80\"} 7",
            "afpa_backend_received_bytes_total{pool=\"app\",backend=\"a:80\"} 9",
            "afpa_backend_checks_total{pool=\"app\",backend=\"a:80\",result=\"failed\"} 3",
            "afpa_class_requests_total{class=\"first\"} 5",
            "afpa_class_waiting{class=\"first\"} 2.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn without_other_servers_there_is_nothing() {
        let text = render(Snapshot::default(), Vec::new()).unwrap();
        assert!(!text.contains("backend") && !text.contains("flights"), "{text}");
    }
}
