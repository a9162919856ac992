//! `config` lines.

use std::time::Duration;

use afpa_tcp::{Config, CongestionControl, Handshake, KeepAlive};

use crate::script::words::Words;

/// A change of the default configuration.
pub(crate) struct Setting(Change);

type Change = Box<dyn Fn(&mut Config)>;

impl Setting {
    /// Reads `mtu 1500` and the like.
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Setting, String> {
        let name = words.word("a setting")?;
        let set: Change = match name {
            "handshake" => handshake(words)?,
            "keep_alive" => keep_alive(words)?,
            "congestion_control" => congestion_control(words)?,
            "ephemeral_ports" => {
                let (from, to) = (words.number("a port")?, words.number("a port")?);
                Box::new(move |config| config.ephemeral_ports = from..=to)
            }
            _ => match duration(name) {
                Some(field) => {
                    let value = words.seconds("a time")?;
                    Box::new(move |config| *field(config) = value)
                }
                None => count_or_choice(name, words)?,
            },
        };
        Ok(Setting(set))
    }

    pub(crate) fn apply(&self, config: &mut Config) {
        self.0(config);
    }
}

fn duration(name: &str) -> Option<fn(&mut Config) -> &mut Duration> {
    Some(match name {
        "time_wait" => |config| &mut config.time_wait,
        "max_retransmission_timeout" => |config| &mut config.max_retransmission_timeout,
        "min_retransmission_timeout" => |config| &mut config.min_retransmission_timeout,
        "delayed_acknowledgment" => |config| &mut config.delayed_acknowledgment,
        "fin_wait" => |config| &mut config.fin_wait,
        "linger" => |config| &mut config.linger,
        _ => return None,
    })
}

fn count_or_choice(name: &str, words: &mut Words<'_>) -> Result<Change, String> {
    if let Some(field) = choice(name) {
        let value = words.choice("on or off")?;
        return Ok(Box::new(move |config| *field(config) = value));
    }
    let set = count(name).ok_or_else(|| format!("{name} is no setting"))?;
    let value = words.number("a number")?;
    Ok(Box::new(move |config| set(config, value)))
}

fn count(name: &str) -> Option<fn(&mut Config, u32)> {
    Some(match name {
        "max_connections" => |config, value| config.max_connections = value,
        "receive_window" => |config, value| config.receive_window = value,
        "send_buffer" => |config, value| config.send_buffer = value,
        "receive_memory" => |config, value| config.receive_memory = u64::from(value),
        "time_wait_entries" => |config, value| config.time_wait_entries = value,
        "stateless_replies" => |config, value| config.stateless_replies = value,
        "challenges_per_second" => |config, value| config.challenges_per_second = value,
        "retries" => |config, value| config.retries = value as u8,
        "handshake_retries" => |config, value| config.handshake_retries = value as u8,
        "mtu" => |config, value| config.mtu = value as u16,
        _ => return None,
    })
}

fn choice(name: &str) -> Option<fn(&mut Config) -> &mut bool> {
    Some(match name {
        "accept_on_data" => |config| &mut config.accept_on_data,
        "nagle" => |config| &mut config.nagle,
        "timestamps" => |config| &mut config.timestamps,
        "selective_acknowledgments" => |config| &mut config.selective_acknowledgments,
        "congestion_notification" => |config| &mut config.congestion_notification,
        "black_hole_detection" => |config| &mut config.black_hole_detection,
        "partial_checksums" => |config| &mut config.partial_checksums,
        _ => return None,
    })
}

fn handshake(words: &mut Words<'_>) -> Result<Change, String> {
    let handshake = match words.word("cookies or queue")? {
        "cookies" => Handshake::Cookies,
        "queue" => Handshake::Queue { entries: words.number("a count")? },
        other => return Err(format!("{other} is no way to remember handshakes")),
    };
    Ok(Box::new(move |config| config.handshake = handshake))
}

/// `keep_alive IDLE INTERVAL PROBES`.
fn keep_alive(words: &mut Words<'_>) -> Result<Change, String> {
    let keep_alive = KeepAlive {
        idle: words.seconds("the idle time")?,
        interval: words.seconds("the interval")?,
        probes: words.number("a count")?,
    };
    Ok(Box::new(move |config| config.keep_alive = Some(keep_alive)))
}

fn congestion_control(words: &mut Words<'_>) -> Result<Change, String> {
    let control = match words.word("a congestion controller")? {
        "reno" => CongestionControl::NewReno,
        "cubic" => CongestionControl::Cubic,
        other => return Err(format!("{other} is no congestion controller")),
    };
    Ok(Box::new(move |config| config.congestion_control = control))
}
