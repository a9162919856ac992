//! A snapshot in the text form of OpenMetrics, which Prometheus reads.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::{provider_metrics, relay_metrics, tcp_metrics};
use crate::stats::{Engine, Latency, Snapshot, Tcp};

/// The media type of [`render`]'s text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the latency histogram, in microseconds. Fixed, so that sums over engines and
/// over time make sense.
const LATENCY_BOUNDS: [u64; 18] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Writes every number of `snapshot` and of `tcp`.
///
/// # Errors
/// None that can occur: writing to a string does not fail.
pub(super) fn render(snapshot: Snapshot, tcp: Vec<Tcp>) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("afpa");
    registry.register_collector(Box::new(Metrics { snapshot, tcp }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Metrics {
    snapshot: Snapshot,
    tcp: Vec<Tcp>,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        self.server(encoder)?;
        self.engines(encoder)?;
        self.outcomes(encoder)?;
        self.latency(encoder)?;
        self.cache(encoder)?;
        self.dns(encoder)?;
        relay_metrics::encode(&self.snapshot, encoder)?;
        provider_metrics::encode(&self.snapshot.engines, encoder)?;
        tcp_metrics::encode(&self.tcp, encoder)
    }
}

impl Metrics {
    fn server(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Snapshot { version, uptime_seconds, draining, log, .. } = &self.snapshot;
        let mut build = encoder.encode_descriptor("build", "The program", None, MetricType::Info)?;
        build.encode_info(&[("version", *version)])?;
        gauge(encoder, "uptime", "Since the server was ready", Some(Unit::Seconds), *uptime_seconds)?;
        gauge(encoder, "draining", "1 while the server finishes what is in flight", None, u64::from(*draining))?;
        counter(encoder, "log_lines", "Lines written to the access log", log.written)?;
        counter(encoder, "log_dropped", "Log records lost because the engine's ring was full", log.dropped)?;
        counter(encoder, "log_failed", "Log lines lost because writing failed", log.failed)
    }

    fn engines(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        type Field = fn(&Engine) -> u64;
        let gauges: [(&str, &str, Field); 2] = [
            ("connections", "Connections alive", |e| e.connections),
            ("pins", "Fragments of the cache that TCP holds", |e| e.pins),
        ];
        for (name, help, field) in gauges {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for engine in &self.snapshot.engines {
                ConstGauge::new(clamp(field(engine))).encode(metric.encode_family(&[("core", engine.core)])?)?;
            }
        }
        let counters: [(&str, &str, Option<Unit>, Field); 7] = [
            ("connected", "Connections accepted or opened", None, |e| e.connected),
            ("received", "Octets received", Some(Unit::Bytes), |e| e.received_octets),
            ("sent", "Octets handed to TCP", Some(Unit::Bytes), |e| e.sent_octets),
            ("resets", "Connections reset by the peer", None, |e| e.resets),
            ("timeouts", "Connections that TCP gave up on", None, |e| e.timeouts),
            ("accept_pauses", "Pauses of accepting, at a limit on descriptors or connections", None, |e| {
                e.accept_pauses
            }),
            ("refused_jobs", "Jobs that the workers had no room for", None, |e| e.refused_jobs),
        ];
        for (name, help, unit, field) in counters {
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for engine in &self.snapshot.engines {
                ConstCounter::new(field(engine)).encode(metric.encode_family(&[("core", engine.core)])?)?;
            }
        }
        Ok(())
    }

    fn outcomes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut metric = encoder.encode_descriptor("responses", "Responses by status", None, MetricType::Counter)?;
        for engine in &self.snapshot.engines {
            for responses in &engine.responses {
                let labels = [("core", engine.core.to_string()), ("status", responses.status.to_string())];
                count(&mut metric, &labels, responses.count)?;
            }
        }
        let help = "Answers by what the cache did";
        let mut metric = encoder.encode_descriptor("cache_outcomes", help, None, MetricType::Counter)?;
        for engine in &self.snapshot.engines {
            for outcomes in &engine.cache {
                let labels = [("core", engine.core.to_string()), ("outcome", outcomes.outcome.to_owned())];
                count(&mut metric, &labels, outcomes.count)?;
            }
        }
        let help = "Transitions of the control tables";
        let mut metric = encoder.encode_descriptor("transitions", help, None, MetricType::Counter)?;
        for engine in &self.snapshot.engines {
            for transition in &engine.transitions {
                let labels = [
                    ("core", engine.core.to_string()),
                    ("module", transition.module.to_owned()),
                    ("state", transition.state.to_owned()),
                    ("outcome", transition.outcome.to_owned()),
                ];
                count(&mut metric, &labels, transition.count)?;
            }
        }
        Ok(())
    }

    fn latency(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "From a request being read to its last octet being handed to TCP";
        let mut metric =
            encoder.encode_descriptor("request_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for engine in &self.snapshot.engines {
            histogram(&mut metric, engine.core, &engine.latency)?;
        }
        Ok(())
    }

    /// DNS, where it is served: each family with its own label.
    fn dns(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let engines: Vec<_> = self.snapshot.engines.iter().filter_map(|e| Some((e.core, e.dns.as_ref()?))).collect();
        let Some((_, first)) = engines.first() else { return Ok(()) };
        for (place, family) in first.families.iter().enumerate() {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, MetricType::Counter)?;
            for (core, dns) in &engines {
                for (value, number) in dns.families.get(place).into_iter().flat_map(|family| &family.counts) {
                    let labels = [("core", core.to_string()), (family.label, (*value).to_owned())];
                    count(&mut metric, &labels, *number)?;
                }
            }
        }
        if let Some(driver) = &self.snapshot.driver {
            let help = "Datagrams that the driver answered itself, or left to engines, and why";
            let mut metric = encoder.encode_descriptor("dns_driver", help, None, MetricType::Counter)?;
            for (result, number) in &driver.datagrams {
                count(&mut metric, &[("result", *result)], *number)?;
            }
        }
        let help = "What happened with backends of DNS";
        let mut metric = encoder.encode_descriptor("dns_backend_events", help, None, MetricType::Counter)?;
        for (core, dns) in &engines {
            for events in &dns.backends {
                let labels = [
                    ("core", core.to_string()),
                    ("backend", events.backend.clone()),
                    ("event", events.event.to_owned()),
                ];
                count(&mut metric, &labels, events.count)?;
            }
        }
        let octets = [("dns_query", "Octets of DNS queries", true), ("dns_answer", "Octets of DNS answers", false)];
        for (name, help, is_query) in octets {
            let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Counter)?;
            for (core, dns) in &engines {
                let octets = if is_query { dns.query_octets } else { dns.answer_octets };
                ConstCounter::new(octets).encode(metric.encode_family(&[("core", *core)])?)?;
            }
        }
        let help = "From a query being read to its answer being handed over";
        let unit = Some(&Unit::Seconds);
        let mut metric = encoder.encode_descriptor("dns_query_duration", help, unit, MetricType::Histogram)?;
        for (core, dns) in &engines {
            histogram(&mut metric, *core, &dns.latency)?;
        }
        Ok(())
    }

    fn cache(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let cache = &self.snapshot.cache;
        gauge(encoder, "cache_objects", "Objects in the cache", None, cache.objects)?;
        gauge(encoder, "cache_files", "Objects in the cache that are sent from a file", None, cache.files)?;
        let used = "Memory that the cache holds, bookkeeping included";
        gauge(encoder, "cache_used", used, Some(Unit::Bytes), cache.used_octets)?;
        let pinned = "Memory of the cache that heads and payloads take";
        gauge(encoder, "cache_pinned", pinned, Some(Unit::Bytes), cache.pinned_octets)?;
        let capacity = "Memory that the cache may hold";
        gauge(encoder, "cache_capacity", capacity, Some(Unit::Bytes), cache.capacity_octets)?;
        let locked = "Memory of the cache that is locked";
        gauge(encoder, "cache_locked", locked, Some(Unit::Bytes), cache.locked_octets)?;
        counter(encoder, "cache_admitted", "Objects taken into the cache", cache.admitted)?;
        let readmitted = "Objects taken into the cache that had been dropped a little earlier";
        counter(encoder, "cache_readmitted", readmitted, cache.readmitted)?;
        counter(encoder, "cache_rejected", "Objects that found no room in the cache", cache.rejected)?;
        counter(encoder, "cache_evicted", "Objects dropped from the cache for others", cache.evicted)?;
        counter(encoder, "cache_purges", "Orders to drop objects: changed files, and purges", cache.purges)
    }
}

fn histogram(metric: &mut MetricEncoder<'_>, core: usize, latency: &Latency) -> Result<(), Error> {
    let (buckets, total) = fixed_buckets(latency);
    let sum = latency.sum_nanos as f64 / 1e9;
    metric.encode_family(&[("core", core)])?.encode_histogram::<NoLabelSet>(sum, total, &buckets, None)
}

/// The counts of each fixed bucket (not yet cumulative), and of all.
fn fixed_buckets(latency: &Latency) -> (Vec<(f64, u64)>, u64) {
    let mut buckets: Vec<_> = LATENCY_BOUNDS.iter().map(|&micros| (micros as f64 / 1e6, 0)).collect();
    buckets.push((f64::INFINITY, 0));
    let mut total = 0u64;
    for &(largest_nanos, count) in &latency.buckets {
        let place = LATENCY_BOUNDS.partition_point(|&micros| micros * 1000 < largest_nanos);
        buckets[place].1 += count;
        total += count;
    }
    (buckets, total)
}

pub(super) fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), Error> {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    value: u64,
) -> Result<(), Error> {
    ConstGauge::new(clamp(value)).encode(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?)
}

pub(super) fn count(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> Result<(), Error> {
    ConstCounter::new(value).encode(metric.encode_family(labels)?)
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{CacheOutcomes, Responses, Transition};

    #[test]
    fn every_kind_of_number_is_written() {
        let engine = Engine {
            core: 3,
            connections: 7,
            sent_octets: 1000,
            responses: vec![Responses { status: 200, count: 5 }],
            cache: vec![CacheOutcomes { outcome: "hit", count: 4 }],
            transitions: vec![Transition { module: "http", state: "derive request", outcome: "complete", count: 9 }],
            latency: Latency { sum_nanos: 2_000_000_000, buckets: vec![(4_000, 2), (5_500, 1), (40_000_000_000, 1)] },
            ..Engine::default()
        };
        let mut snapshot = Snapshot { version: "1.2.3", engines: vec![engine], ..Snapshot::default() };
        snapshot.cache.evicted = 11;
        snapshot.log.dropped = 2;
        let text = render(snapshot, Vec::new()).unwrap();
        for line in [
            "afpa_build_info{version=\"1.2.3\"} 1",
            "afpa_connections{core=\"3\"} 7",
            "afpa_sent_bytes_total{core=\"3\"} 1000",
            "afpa_responses_total{core=\"3\",status=\"200\"} 5",
            "afpa_cache_outcomes_total{core=\"3\",outcome=\"hit\"} 4",
            "afpa_transitions_total{core=\"3\",module=\"http\",state=\"derive request\",outcome=\"complete\"} 9",
            "afpa_request_duration_seconds_bucket{le=\"0.000005\",core=\"3\"} 2",
            "afpa_request_duration_seconds_bucket{le=\"30.0\",core=\"3\"} 3",
            "afpa_request_duration_seconds_bucket{le=\"+Inf\",core=\"3\"} 4",
            "afpa_request_duration_seconds_count{core=\"3\"} 4",
            "afpa_request_duration_seconds_sum{core=\"3\"} 2.0",
            "afpa_cache_evicted_total 11",
            "afpa_log_dropped_total 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
