//! What `--so_flags` says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use afpa_tcp::{Config, CongestionControl, Handshake};

/// What a script's stack is like. The configuration is final with the first listener or connection; until then
/// socket options may still change it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Where connections come from when their socket is not bound.
    pub(crate) local: Ipv4Addr,
    pub(crate) local_v6: Ipv6Addr,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // Scripts expect retransmitted SYN-ACKs, and write much at once.
            config: Config {
                handshake: Handshake::Queue { entries: 1024 },
                send_buffer: 4 * 1024 * 1024,
                ..Config::default()
            },
            local: Ipv4Addr::new(192, 168, 0, 1),
            local_v6: Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1),
        }
    }
}

impl Settings {
    /// Reads `name=value` pairs between commas or blanks. Pairs that say nothing are returned, to be reported.
    pub(crate) fn parse(flags: &str) -> (Settings, Vec<&str>) {
        let mut settings = Settings::default();
        let pairs = flags.split([',', ' ']).filter(|pair| !pair.is_empty());
        let unknown = pairs.filter(|pair| settings.apply(pair).is_none()).collect();
        (settings, unknown)
    }

    fn apply(&mut self, pair: &str) -> Option<()> {
        let (name, value) = pair.split_once('=')?;
        let milliseconds = || value.parse().ok().map(Duration::from_millis);
        let config = &mut self.config;
        match name {
            "local" => match value.parse().ok()? {
                IpAddr::V4(address) => self.local = address,
                IpAddr::V6(address) => self.local_v6 = address,
            },
            "handshake" => config.handshake = handshake(value)?,
            "receive_window" => config.receive_window = value.parse().ok()?,
            "send_buffer" => config.send_buffer = value.parse().ok()?,
            "mtu" => config.mtu = value.parse().ok()?,
            "retries" => config.retries = value.parse().ok()?,
            "handshake_retries" => config.handshake_retries = value.parse().ok()?,
            "min_rto" => config.min_retransmission_timeout = milliseconds()?,
            "max_rto" => config.max_retransmission_timeout = milliseconds()?,
            "delayed_ack" => config.delayed_acknowledgment = milliseconds()?,
            "fin_wait" => config.fin_wait = milliseconds()?,
            "linger" => config.linger = milliseconds()?,
            "time_wait" => config.time_wait = milliseconds()?,
            "nagle" => config.nagle = value.parse().ok()?,
            "timestamps" => config.timestamps = value.parse().ok()?,
            "sack" => config.selective_acknowledgments = value.parse().ok()?,
            "ecn" => config.congestion_notification = value.parse().ok()?,
            "congestion" => config.congestion_control = congestion(value)?,
            _ => return None,
        }
        Some(())
    }
}

pub(crate) fn congestion(name: &str) -> Option<CongestionControl> {
    match name {
        "cubic" => Some(CongestionControl::Cubic),
        "reno" => Some(CongestionControl::NewReno),
        _ => None,
    }
}

fn handshake(name: &str) -> Option<Handshake> {
    match name {
        "queue" => Some(Handshake::Queue { entries: 1024 }),
        "cookies" => Some(Handshake::Cookies),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_the_configuration() {
        let (settings, unknown) =
            Settings::parse("local=10.0.0.9,local=fd00::9 mtu=9000,sack=false, min_rto=300,congestion=reno");
        assert!(unknown.is_empty());
        assert_eq!(settings.local, Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(settings.local_v6, "fd00::9".parse::<Ipv6Addr>().unwrap());
        assert_eq!(settings.config.mtu, 9000);
        assert!(!settings.config.selective_acknowledgments);
        assert_eq!(settings.config.min_retransmission_timeout, Duration::from_millis(300));
        assert_eq!(settings.config.congestion_control, CongestionControl::NewReno);
    }

    #[test]
    fn what_is_not_understood_is_returned() {
        let (_, unknown) = Settings::parse("mtu=many,verbose,colour=red,nagle=true");
        assert_eq!(unknown, ["mtu=many", "verbose", "colour=red"]);
    }
}
