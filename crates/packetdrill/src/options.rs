//! Socket options, `fcntl` and `ioctl`.

use std::time::Duration;

use afpa_tcp::KeepAlive;

use crate::errno::Errno;
use crate::settings;
use crate::socket::Role;
use crate::stack::Stack;

/// Linux's name for octets queued and not yet sent.
const UNSENT: u64 = 0x894b;

/// Sets an option. Those of the whole stack can be set only before its first listener or connection.
pub(crate) fn set(stack: &mut Stack, descriptor: i32, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let is_configurable = stack.is_configurable();
    let socket = stack.socket_mut(descriptor)?;
    if (level, name) == (libc::IPPROTO_TCP, libc::TCP_CONGESTION) {
        let text = std::str::from_utf8(value).map_err(|_| Errno::INVALID)?;
        let chosen = settings::congestion(text.trim_end_matches('\0')).ok_or(Errno(libc::ENOENT))?;
        return configure(stack, is_configurable, |stack| stack.settings.config.congestion_control = chosen);
    }
    let number = value.first_chunk::<4>().map(|&field| i32::from_ne_bytes(field)).ok_or(Errno::INVALID)?;
    let seconds = || u64::try_from(number).map(Duration::from_secs).map_err(|_| Errno::INVALID);
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) => Ok(()),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
            // Linux doubles it, and scripts know.
            let limit = usize::try_from(number).map_err(|_| Errno::INVALID)?;
            socket.send_limit = Some(limit.saturating_mul(2));
            Ok(())
        }
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            let time = value.get(4..8).and_then(|rest| rest.first_chunk::<4>()).ok_or(Errno::INVALID)?;
            socket.aborts = number != 0 && i32::from_ne_bytes(*time) == 0;
            Ok(())
        }
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
            let window = u32::try_from(number).map_err(|_| Errno::INVALID)?;
            configure(stack, is_configurable, |stack| stack.settings.config.receive_window = window)
        }
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => configure(stack, is_configurable, |stack| {
            stack.settings.config.keep_alive = (number != 0).then_some(keep_alive(stack));
        }),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => {
            let idle = seconds()?;
            set_keep_alive(stack, is_configurable, |asked| KeepAlive { idle, ..asked })
        }
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
            let interval = seconds()?;
            set_keep_alive(stack, is_configurable, |asked| KeepAlive { interval, ..asked })
        }
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => {
            let probes = u8::try_from(number).map_err(|_| Errno::INVALID)?;
            set_keep_alive(stack, is_configurable, |asked| KeepAlive { probes, ..asked })
        }
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
            let headers = if socket.is_v6 { 60 } else { 40 };
            let mtu = u16::try_from(number).ok().and_then(|size| size.checked_add(headers)).ok_or(Errno::INVALID)?;
            configure(stack, is_configurable, |stack| stack.settings.config.mtu = mtu)
        }
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => {
            let is_same = stack.settings.config.nagle == (number == 0);
            configure(stack, is_configurable || is_same, |stack| stack.settings.config.nagle = number == 0)
        }
        _ => Err(Errno::NO_OPTION),
    }
}

/// Reads an option.
pub(crate) fn get(stack: &mut Stack, descriptor: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
    let info = stack.describe(descriptor)?;
    let is_nagle = stack.settings.config.nagle;
    let is_kept_alive = stack.settings.config.keep_alive.is_some();
    let window = stack.settings.config.receive_window;
    let space = stack.settings.config.send_buffer;
    let mtu = stack.settings.config.mtu;
    let socket = stack.socket_mut(descriptor)?;
    let number = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => {
            socket.connection_mut().and_then(|connection| connection.error.take()).map_or(0, |error| error.0)
        }
        (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => i32::from(matches!(socket.role, Role::Listening { .. })),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => i32::from(is_kept_alive),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => i32::try_from(window).unwrap_or(i32::MAX),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
            i32::try_from(socket.send_limit.unwrap_or(space as usize)).unwrap_or(i32::MAX)
        }
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => i32::from(!is_nagle),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
            i32::from(info.map_or(mtu.saturating_sub(40), |info| info.segment_size))
        }
        _ => return Err(Errno::NO_OPTION),
    };
    Ok(number.to_ne_bytes().to_vec())
}

/// `fcntl`: whether calls block.
pub(crate) fn control(stack: &mut Stack, descriptor: i32, command: i32, argument: i32) -> Result<i32, Errno> {
    let socket = stack.socket_mut(descriptor)?;
    match command {
        libc::F_GETFL => Ok(libc::O_RDWR | if socket.is_nonblocking { libc::O_NONBLOCK } else { 0 }),
        libc::F_SETFL => {
            socket.is_nonblocking = argument & libc::O_NONBLOCK != 0;
            Ok(0)
        }
        _ => Err(Errno::INVALID),
    }
}

/// `ioctl`: how much is queued. The answer goes where the third argument points.
pub(crate) fn inquire(stack: &Stack, descriptor: i32, request: u64) -> Result<i32, Errno> {
    let info = stack.describe(descriptor)?;
    if stack.socket(descriptor)?.connection().is_none() {
        return Err(Errno::INVALID);
    }
    let queued = info.map_or(0, |info| info.queued);
    let unsent = info.map_or(0, |info| info.queued.saturating_sub(u64::from(info.outstanding)));
    let count = match request {
        libc::FIONREAD => info.map_or(0, |info| u64::from(info.unread)),
        libc::TIOCOUTQ => queued,
        UNSENT => unsent,
        _ => return Err(Errno::INVALID),
    };
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

fn configure(stack: &mut Stack, is_allowed: bool, change: impl FnOnce(&mut Stack)) -> Result<(), Errno> {
    if !is_allowed {
        return Err(Errno::NO_OPTION);
    }
    change(stack);
    Ok(())
}

fn set_keep_alive(
    stack: &mut Stack,
    is_allowed: bool,
    change: impl FnOnce(KeepAlive) -> KeepAlive,
) -> Result<(), Errno> {
    configure(stack, is_allowed, |stack| stack.settings.config.keep_alive = Some(change(keep_alive(stack))))
}

/// What is asked for already, or what RFC 9293 §3.8.4 (MUST-28) has as the default.
fn keep_alive(stack: &Stack) -> KeepAlive {
    let usual = KeepAlive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 };
    stack.settings.config.keep_alive.unwrap_or(usual)
}
