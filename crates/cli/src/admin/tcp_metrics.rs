//! What our own TCP counts, in the text form of OpenMetrics. Nothing is written without that transport.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::metrics::count;
use crate::stats::Tcp;

type Field = fn(&Tcp) -> u64;

const COUNTERS: [(&str, &str, Field); 22] = [
    ("frames_in", "Frames received", |t| t.frames_in),
    ("frames_out", "Frames sent", |t| t.frames_out),
    ("frames_ignored", "Frames that were malformed or not for a listener", |t| t.frames_ignored),
    ("bad_checksums", "Packets whose checksum was wrong", |t| t.bad_checksums),
    ("payload_octets_in", "Octets of payload received in order", |t| t.payload_octets_in),
    ("payload_octets_out", "Octets of payload sent, also again", |t| t.payload_octets_out),
    ("lent_octets_out", "Octets of registered memory sent from where they lay, also again", |t| t.lent_octets_out),
    ("retransmitted_segments", "Segments sent again", |t| t.retransmitted_segments),
    ("retransmission_timeouts", "Times the retransmission timer ran out", |t| t.retransmission_timeouts),
    ("fast_recoveries", "Losses repaired before the timer ran out", |t| t.fast_recoveries),
    ("tail_loss_probes", "Probes for a lost tail", |t| t.tail_loss_probes),
    ("sacked_octets", "Octets acknowledged selectively", |t| t.sacked_octets),
    ("out_of_order_segments", "Segments received ahead of their turn", |t| t.out_of_order_segments),
    ("duplicate_segments", "Segments received again", |t| t.duplicate_segments),
    ("cookies_sent", "SYN-ACKs sent with a cookie", |t| t.cookies_sent),
    ("driver_cookies_sent", "SYN-ACKs sent by the driver", |t| t.driver_cookies_sent),
    ("driver_acknowledgments_absorbed", "Acknowledgments without news dropped by the driver", |t| {
        t.driver_acknowledgments_absorbed
    }),
    ("cookies_accepted", "Connections opened by a cookie", |t| t.cookies_accepted),
    ("cookies_rejected", "Cookies that were none of ours, or too old", |t| t.cookies_rejected),
    ("syns_dropped", "SYNs not answered", |t| t.syns_dropped),
    ("challenge_acknowledgments", "Challenges to possibly forged segments", |t| t.challenge_acknowledgments),
    ("time_waits", "Connections closed and remembered for a while", |t| t.time_waits),
];

/// Writes the counters of every engine.
///
/// # Errors
/// Those of the encoder.
pub(super) fn encode(engines: &[Tcp], encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    if engines.is_empty() {
        return Ok(());
    }
    for (name, help, field) in COUNTERS {
        let name = format!("tcp_{name}");
        let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for tcp in engines {
            ConstCounter::new(field(tcp)).encode(metric.encode_family(&[("core", tcp.core)])?)?;
        }
    }
    let help = "Frames that a ring had no room for";
    let mut metric = encoder.encode_descriptor("tcp_drops", help, None, MetricType::Counter)?;
    for tcp in engines {
        for drops in &tcp.drops {
            count(&mut metric, &[("core", tcp.core.to_string()), ("ring", drops.ring.to_owned())], drops.count)?;
        }
    }
    let help = "Connections reset, by who sent the reset and why";
    let mut metric = encoder.encode_descriptor("tcp_resets", help, None, MetricType::Counter)?;
    for tcp in engines {
        for resets in &tcp.resets {
            let labels = [
                ("core", tcp.core.to_string()),
                ("direction", resets.direction.to_owned()),
                ("reason", resets.reason.to_owned()),
            ];
            count(&mut metric, &labels, resets.count)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::render;
    use super::*;
    use crate::stats::{Drops, Resets, Snapshot};

    #[test]
    fn every_kind_of_number_is_written_for_each_engine() {
        let one = Tcp {
            core: 2,
            retransmitted_segments: 5,
            cookies_sent: 9,
            drops: vec![Drops { ring: "fill", count: 3 }],
            resets: vec![Resets { direction: "sent", reason: "unmatched", count: 4 }],
            ..Tcp::default()
        };
        let other = Tcp { core: 3, ..one.clone() };
        let text = render(Snapshot::default(), vec![one, other]).unwrap();
        for line in [
            "afpa_tcp_retransmitted_segments_total{core=\"2\"} 5",
            "afpa_tcp_retransmitted_segments_total{core=\"3\"} 5",
            "afpa_tcp_cookies_sent_total{core=\"2\"} 9",
            "afpa_tcp_time_waits_total{core=\"2\"} 0",
            "afpa_tcp_drops_total{core=\"2\",ring=\"fill\"} 3",
            "afpa_tcp_resets_total{core=\"3\",direction=\"sent\",reason=\"unmatched\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn without_the_transport_there_is_nothing() {
        assert!(!render(Snapshot::default(), Vec::new()).unwrap().contains("tcp_"));
    }
}
