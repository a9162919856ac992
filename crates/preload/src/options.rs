//! Socket options of connections that the kernel knows nothing of, and those which it is not to be asked.

use std::time::Duration;

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};
use rustix::io::Errno;

use crate::application::Socket;
use crate::description::{Half, flag};

/// Who answers.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// So many octets were written.
    Octets(usize),
    /// The kernel has a socket that knows.
    Kernel,
}

/// getsockopt(2) into `into`.
pub(crate) fn get(socket: &Socket, level: i32, name: i32, into: &mut [u8]) -> Result<Answer, Errno> {
    let description = socket.description();
    let flag = |flag| i32::from(description.has(flag));
    let half = |half, default| match description.half(half) {
        0 => default,
        set => i32::from(set),
    };
    let value = match (level, name) {
        (SOL_SOCKET, libc::SO_ERROR) => socket.take_error().map_or(0, Errno::raw_os_error),
        (SOL_SOCKET, libc::SO_RCVTIMEO) => return Ok(written(&timeval(description.receive_timeout()), into)),
        (SOL_SOCKET, libc::SO_SNDTIMEO) => return Ok(written(&timeval(description.send_timeout()), into)),
        (SOL_SOCKET, libc::SO_LINGER) => {
            let mut octets = [0; 8];
            octets[..4].copy_from_slice(&flag(flag::LINGER).to_ne_bytes());
            octets[4..].copy_from_slice(&description.linger_seconds().to_ne_bytes());
            return Ok(written(&octets, into));
        }
        (IPPROTO_TCP, libc::TCP_INFO | libc::TCP_NODELAY | libc::TCP_CORK) if socket.sends() => {
            return Ok(Answer::Kernel);
        }
        (SOL_SOCKET, libc::SO_ACCEPTCONN) => i32::from(socket.is_listener()),
        (IPPROTO_TCP, libc::TCP_INFO) => return Ok(written(&info(socket), into)),
        (IPPROTO_TCP, libc::TCP_NODELAY) => flag(flag::NO_DELAY),
        (IPPROTO_TCP, libc::TCP_CORK) => flag(flag::CORK),
        (SOL_SOCKET, libc::SO_REUSEADDR) if socket.is_listener() => flag(flag::REUSE_ADDRESS),
        _ if !description.has(flag::PLACEHOLDER) => return Ok(Answer::Kernel),
        (SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (SOL_SOCKET, libc::SO_DOMAIN) => {
            if description.has(flag::V6) {
                libc::AF_INET6
            } else {
                libc::AF_INET
            }
        }
        (SOL_SOCKET, libc::SO_PROTOCOL) => IPPROTO_TCP,
        (SOL_SOCKET, libc::SO_KEEPALIVE) => flag(flag::KEEP_ALIVE),
        (SOL_SOCKET, libc::SO_REUSEADDR) => flag(flag::REUSE_ADDRESS),
        (SOL_SOCKET, libc::SO_OOBINLINE) => flag(flag::OOB_INLINE),
        (SOL_SOCKET, libc::SO_SNDBUF) => buffer(description.buffers().0, socket.channel().slot().send_ring().size()),
        (SOL_SOCKET, libc::SO_RCVBUF) => buffer(description.buffers().1, socket.channel().slot().receive_ring().size()),
        (SOL_SOCKET, libc::SO_RCVLOWAT | libc::SO_SNDLOWAT) => 1,
        (SOL_SOCKET, _) => 0,
        (IPPROTO_TCP, libc::TCP_MAXSEG) => 1460,
        // The kernel's defaults (tcp(7)).
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => half(Half::KeepIdle, 7200),
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => half(Half::KeepInterval, 75),
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => half(Half::KeepCount, 9),
        (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => half(Half::Service, 0),
        (IPPROTO_TCP, libc::TCP_CONGESTION) => return Err(Errno::OPNOTSUPP),
        (IPPROTO_TCP | IPPROTO_IP | IPPROTO_IPV6, _) => 0,
        _ => return Err(Errno::NOPROTOOPT),
    };
    Ok(written(&value.to_ne_bytes(), into))
}

/// setsockopt(2). `Ok(false)`: the kernel is to be told as well.
pub(crate) fn set(socket: &Socket, level: i32, name: i32, value: &[u8]) -> Result<bool, Errno> {
    let description = socket.description();
    let number = value.get(..4).and_then(|octets| octets.try_into().ok()).map(i32::from_ne_bytes);
    let on = || number.map(|number| number != 0).ok_or(Errno::INVAL);
    let octets = || number.map(|number| number.max(0) as u32).ok_or(Errno::INVAL);
    let half = |within: std::ops::RangeInclusive<i32>| {
        number.filter(|number| within.contains(number)).map(|number| number as u16).ok_or(Errno::INVAL)
    };
    match (level, name) {
        (SOL_SOCKET, libc::SO_RCVTIMEO) => {
            description.set_receive_timeout(timeout(value)?);
            return Ok(true);
        }
        (SOL_SOCKET, libc::SO_SNDTIMEO) => {
            description.set_send_timeout(timeout(value)?);
            return Ok(!socket.application.sends());
        }
        (SOL_SOCKET, libc::SO_LINGER) => {
            let seconds = value.get(4..8).and_then(|octets| octets.try_into().ok()).map(u32::from_ne_bytes);
            description.set_linger(on()?, seconds.ok_or(Errno::INVAL)?);
            return Ok(true);
        }
        (SOL_SOCKET, libc::SO_KEEPALIVE) => drop(description.set(flag::KEEP_ALIVE, on()?)),
        (SOL_SOCKET, libc::SO_REUSEADDR) => drop(description.set(flag::REUSE_ADDRESS, on()?)),
        (SOL_SOCKET, libc::SO_OOBINLINE) => drop(description.set(flag::OOB_INLINE, on()?)),
        (SOL_SOCKET, libc::SO_SNDBUF) => description.set_send_buffer(octets()?),
        (SOL_SOCKET, libc::SO_RCVBUF) => description.set_receive_buffer(octets()?),
        (IPPROTO_TCP, libc::TCP_NODELAY) => drop(description.set(flag::NO_DELAY, on()?)),
        (IPPROTO_TCP, libc::TCP_CORK) => drop(description.set(flag::CORK, on()?)),
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => description.set_half(Half::KeepIdle, half(1..=32767)?),
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => description.set_half(Half::KeepInterval, half(1..=32767)?),
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => description.set_half(Half::KeepCount, half(1..=127)?),
        // Two of its bits are the congestion notification's (RFC 3168 §5), and not the program's.
        (IPPROTO_IP, libc::IP_TOS) => description.set_half(Half::Service, half(0..=255)? & 0xfc),
        (IPPROTO_IPV6, libc::IPV6_TCLASS) => description.set_half(Half::Service, half(0..=255)?),
        // What attaches a program to the socket, or replaces its protocol, cannot be pretended.
        (SOL_SOCKET, libc::SO_ATTACH_FILTER | libc::SO_ATTACH_BPF)
        | (IPPROTO_TCP, libc::TCP_ULP | libc::TCP_REPAIR)
            if description.has(flag::PLACEHOLDER) || socket.sends() =>
        {
            return Err(Errno::NOPROTOOPT);
        }
        // The server receives what there is.
        (SOL_SOCKET, libc::SO_RCVLOWAT) if socket.sends() => return Ok(true),
        (SOL_SOCKET | IPPROTO_TCP | IPPROTO_IP | IPPROTO_IPV6, _) => {}
        _ if description.has(flag::PLACEHOLDER) => return Err(Errno::NOPROTOOPT),
        _ => {}
    }
    // How octets are put into segments is the server's affair.
    let servers =
        !socket.application.sends() && level == IPPROTO_TCP && matches!(name, libc::TCP_NODELAY | libc::TCP_CORK);
    Ok(servers || description.has(flag::PLACEHOLDER))
}

/// A time as C has it.
pub(crate) fn duration(seconds: i64, microseconds: i64) -> Duration {
    let seconds = Duration::from_secs(seconds.try_into().unwrap_or(0));
    seconds.saturating_add(Duration::from_micros(microseconds.try_into().unwrap_or(0)))
}

fn timeout(value: &[u8]) -> Result<Duration, Errno> {
    let number = |at| value.get(at..at + 8).and_then(|octets| octets.try_into().ok()).map(i64::from_ne_bytes);
    let (seconds, microseconds) = number(0).zip(number(8)).ok_or(Errno::INVAL)?;
    if !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::DOM);
    }
    Ok(duration(seconds, microseconds))
}

fn timeval(duration: Duration) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&duration.as_secs().to_ne_bytes());
    octets[8..].copy_from_slice(&u64::from(duration.subsec_micros()).to_ne_bytes());
    octets
}

/// The kernel tells twice what was set (socket(7)).
fn buffer(set: u32, ring: u32) -> i32 {
    if set == 0 { ring } else { set.saturating_mul(2) }.min(i32::MAX as u32) as i32
}

/// `struct tcp_info`, of which the state is known, and what the rings hold.
fn info(socket: &Socket) -> [u8; 104] {
    const ESTABLISHED: u8 = 1;
    const SYN_SENT: u8 = 2;
    const CLOSE: u8 = 7;
    const CLOSE_WAIT: u8 = 8;
    const LISTEN: u8 = 10;
    let mut octets = [0; 104];
    let channel = socket.channel();
    let ready = channel.readiness();
    octets[0] = if socket.is_listener() {
        LISTEN
    } else if socket.application.is_gone() || ready.failed {
        CLOSE
    } else if !channel.is_decided() {
        SYN_SENT
    } else if ready.peer_finished {
        CLOSE_WAIT
    } else {
        ESTABLISHED
    };
    // tcpi_snd_mss and tcpi_rcv_mss.
    octets[16..20].copy_from_slice(&1460u32.to_ne_bytes());
    octets[20..24].copy_from_slice(&1460u32.to_ne_bytes());
    octets
}

fn written(octets: &[u8], into: &mut [u8]) -> Answer {
    let count = octets.len().min(into.len());
    into[..count].copy_from_slice(&octets[..count]);
    Answer::Octets(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_come_back() {
        let time = Duration::from_micros(12_345_678);
        assert_eq!(timeout(&timeval(time)), Ok(time));
        assert_eq!(timeout(&[0; 15]), Err(Errno::INVAL));
        let mut wrong = [0; 16];
        wrong[8..].copy_from_slice(&1_000_000i64.to_ne_bytes());
        assert_eq!(timeout(&wrong), Err(Errno::DOM));
    }

    #[test]
    fn an_answer_is_cut_to_what_there_is_room_for() {
        let mut into = [0; 2];
        assert_eq!(written(&[1, 2, 3, 4], &mut into), Answer::Octets(2));
        assert_eq!(into, [1, 2]);
    }
}
