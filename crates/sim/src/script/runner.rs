//! Runs a script's steps against one TCP.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_tcp::{Arrival, Config, Handle, Handshake, Input, Integrity, Opened, Tcp, Time};

use crate::device::{Device, Style};
use crate::flags::Flags;
use crate::icmp;
use crate::option::TcpOption;
use crate::script::flow::{Flow, LISTENS};
use crate::script::pattern::Pattern;
use crate::script::step::{Action, App, Call, Step};
use crate::segment::Segment;
use crate::trace::Trace;

/// The peer's port, until a script names another.
const PORT: u16 = 40_000;
/// What a `handshake` takes.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// The most packets that one moment may bring forth.
const MOST: usize = 10_000;

/// One TCP, its clock, and what it has sent and nobody has looked at yet.
pub(crate) struct Runner {
    tcp: Tcp<Rc<[u8]>>,
    mtu: u16,
    now: Time,
    stack: IpAddr,
    peer: IpAddr,
    flows: BTreeMap<u16, Flow>,
    port: u16,
    sent: VecDeque<(Time, Segment)>,
    trace: Trace,
}

impl Runner {
    pub(crate) fn new(version: u8, steps: &[Step]) -> Result<Runner, String> {
        // A cookie knows only a few segment sizes.
        let mut config = Config { handshake: Handshake::Queue { entries: 64 }, ..Config::default() };
        for step in steps {
            if let Action::Config(setting) = &step.action {
                setting.apply(&mut config);
            }
        }
        let (stack, peer): (IpAddr, IpAddr) = match version {
            4 => ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            _ => ([0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into()),
        };
        let mtu = config.mtu;
        let mut tcp = Tcp::new(config, [7; 32]);
        tcp.listen(SocketAddr::new(stack, LISTENS), 0).map_err(|error| error.to_string())?;
        let now = Time(1_000_000_000_000);
        let flow = Flow::new(stack, SocketAddr::new(peer, PORT), now);
        Ok(Runner {
            tcp,
            mtu,
            now,
            stack,
            peer,
            flows: [(PORT, flow)].into(),
            port: PORT,
            sent: VecDeque::new(),
            trace: Trace::default(),
        })
    }

    pub(crate) fn step(&mut self, action: &Action) -> Result<(), String> {
        let looks = matches!(action, Action::Expect(..) | Action::Drop(_) | Action::Flow(_) | Action::Check(_));
        if !looks {
            self.nothing_left()?;
        }
        match action {
            Action::Config(_) | Action::Ip(_) => Ok(()),
            Action::Flow(port) => self.change_flow(*port),
            Action::Isn(isn) => {
                self.flow_mut().reincarnate(*isn);
                Ok(())
            }
            Action::Clock(value) => {
                let now = self.now;
                self.flow_mut().set_clock(*value, now);
                Ok(())
            }
            Action::Call(call) => self.call(call),
            Action::Receive(pattern) => self.receive(pattern),
            Action::Complain(complaint, quote) => {
                let quoted = self.flow().quoted(quote.sequence, quote.length).encode();
                let message = icmp::complain(self.peer, &quoted, *complaint).ok_or("nothing to complain about")?;
                self.process(&message)
            }
            Action::Expect(span, pattern) => self.expect(*span, pattern),
            Action::Advance(span) => self.advance(self.now.after(*span), false),
            Action::Silent(span) => {
                self.advance(self.now.after(*span), false)?;
                self.nothing_left()
            }
            Action::Handshake(true, pattern) => self.accept(pattern),
            Action::Handshake(false, pattern) => self.connect(pattern),
            Action::App(App::Reads(reads)) => {
                self.flow_mut().application.reads = *reads;
                Ok(())
            }
            Action::App(App::Answers(count, afterwards)) => {
                self.flow_mut().application.answer = Some((*count, *afterwards));
                Ok(())
            }
            Action::Check(check) => check.hold(self),
            Action::Drop(count) => self.forget(*count),
            Action::Flood(count) => self.flood(*count),
        }
    }

    /// What TCP sent and no line expected is a failure.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.nothing_left()
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn tcp(&self) -> &Tcp<Rc<[u8]>> {
        &self.tcp
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flows[&self.port]
    }

    /// The current flow's state, or `none`.
    pub(crate) fn state(&self) -> String {
        let info = self.flow().application.handle.and_then(|handle| self.tcp.describe(handle));
        info.map_or("none".to_owned(), |info| format!("{:?}", info.state))
    }

    fn flow_mut(&mut self) -> &mut Flow {
        let (stack, peer, now) = (self.stack, SocketAddr::new(self.peer, self.port), self.now);
        self.flows.entry(self.port).or_insert_with(|| Flow::new(stack, peer, now))
    }

    fn change_flow(&mut self, port: u16) -> Result<(), String> {
        self.port = port;
        self.flow_mut();
        Ok(())
    }

    fn nothing_left(&self) -> Result<(), String> {
        match self.sent.front() {
            Some((at, segment)) => {
                let ago = self.now.since(*at);
                Err(format!("nothing was to be sent, but {} more: {segment}, {ago:?} ago", self.sent.len()))
            }
            None => Ok(()),
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        if let Call::Connect = call {
            let remote = self.flow().peer();
            let handle = self.tcp.connect(self.now, self.stack, remote, 0).map_err(|error| error.to_string())?;
            self.flow_mut().application.handle = Some(handle);
            return self.dispatch();
        }
        if let Call::StopListening = call {
            self.tcp.stop_listening();
            return self.dispatch();
        }
        let handle = self.flow().application.handle.ok_or("there is no connection")?;
        let Some(flow) = self.flows.get_mut(&self.port) else { return Err("there is no flow".into()) };
        let (tcp, application) = (&mut self.tcp, &mut flow.application);
        match call {
            Call::Write(count) => application.write(tcp, handle, *count, false),
            Call::Pin(count) => application.write(tcp, handle, *count, true),
            Call::Finish => tcp.finish(handle),
            Call::Close => tcp.close(handle),
            Call::Abort => tcp.abort(handle),
            Call::Read(count) => application.read(tcp, handle, *count),
            Call::Connect | Call::StopListening => {}
        }
        self.dispatch()
    }

    fn receive(&mut self, pattern: &Pattern) -> Result<(), String> {
        let now = self.now;
        let segment = self.flow_mut().segment(pattern, now);
        let mut packet = segment.encode();
        if pattern.broken {
            let ip = if self.stack.is_ipv4() { 20 } else { 40 };
            packet[ip + 16] ^= 0x10;
        }
        self.process(&packet)
    }

    fn process(&mut self, packet: &[u8]) -> Result<(), String> {
        self.trace.packet(self.now, "<", "", packet);
        if let Some(arrival) = self.tcp.process(self.now, packet, Integrity::Verify) {
            self.take(arrival);
        }
        self.dispatch()
    }

    fn take(&mut self, arrival: Arrival<'_>) {
        let handle = arrival.handle;
        let port = self.port_of(handle);
        let Some(flow) = self.flows.get_mut(&port) else { return };
        let application = &mut flow.application;
        if let Some(Opened::Accepted(_)) = arrival.opened {
            application.handle = Some(handle);
        }
        // A connection of an earlier incarnation ends on its own.
        if application.handle != Some(handle) {
            return;
        }
        application.opened |= arrival.opened.is_some();
        application.acknowledged += arrival.acknowledged;
        match arrival.input {
            Input::None => {}
            Input::Frame(octets) => application.frame(&mut self.tcp, handle, octets),
            Input::Buffered => application.buffered(&mut self.tcp, handle),
        }
        application.finished |= arrival.finished;
        application.ended = application.ended.or(arrival.ended);
    }

    fn port_of(&self, handle: Handle) -> u16 {
        let known = self.flows.iter().find(|(_, flow)| flow.application.handle == Some(handle)).map(|(port, _)| *port);
        known.or_else(|| self.tcp.peer(handle).map(|peer| peer.port())).unwrap_or(self.port)
    }

    fn dispatch(&mut self) -> Result<(), String> {
        let mut packets = Vec::new();
        let mut device = Device::new(Style { room: MOST, cuts: 0, merges: false }, self.mtu, &mut packets);
        if !self.tcp.dispatch(self.now, &mut device) {
            return Err(format!("more than {MOST} packets at once"));
        }
        for packet in packets {
            self.trace.packet(self.now, ">", "", &packet);
            let segment = Segment::decode(&packet).map_err(|error| format!("it sent {error}"))?;
            self.sent.push_back((self.now, segment));
        }
        Ok(())
    }

    /// Lets time pass; stops where something is sent, if `until_sent`.
    fn advance(&mut self, to: Time, until_sent: bool) -> Result<(), String> {
        for _ in 0..MOST {
            if until_sent && !self.sent.is_empty() {
                return Ok(());
            }
            let Some(due) = self.tcp.next_deadline().filter(|due| *due <= to) else {
                self.now = to;
                return Ok(());
            };
            self.now = self.now.max(due);
            while let Some(arrival) = self.tcp.expire(self.now) {
                self.take(arrival);
            }
            self.dispatch()?;
        }
        Err(format!("a timer is always due: {:?} at {:?}", self.tcp.next_deadline(), self.now))
    }

    fn expect(&mut self, span: Option<(Duration, Duration)>, pattern: &Pattern) -> Result<(), String> {
        let start = self.now;
        if let Some((_, most)) = span {
            self.advance(start.after(most), true)?;
        }
        let peer = self.flow().peer();
        let place = self.sent.iter().position(|(_, segment)| segment.destination == peer);
        let sent = place.and_then(|place| self.sent.remove(place));
        let Some((at, segment)) = sent else { return Err("nothing was sent".into()) };
        if let Some((least, _)) = span.filter(|(least, _)| at.since(start) < *least) {
            return Err(format!("it was sent after {:?}, not {least:?}: {segment}", at.since(start)));
        }
        let flow = self.flow_mut();
        flow.note(&segment);
        flow.compare(pattern, &segment).map_err(|error| format!("{error}: {segment}"))
    }

    fn forget(&mut self, count: Option<usize>) -> Result<(), String> {
        for _ in 0..count.unwrap_or(self.sent.len()) {
            let (_, segment) = self.sent.pop_front().ok_or("nothing was sent")?;
            let port = segment.destination.port();
            if let Some(flow) = self.flows.get_mut(&port) {
                flow.note(&segment);
            }
        }
        Ok(())
    }

    /// The peer opens a connection.
    fn accept(&mut self, pattern: &Pattern) -> Result<(), String> {
        self.receive(&Pattern { sequence: Some(0), ..pattern.clone() })?;
        self.expect(None, &reply(Flags::SYN | Flags::ACK, 0))?;
        self.advance(self.now.after(ROUND_TRIP), false)?;
        self.receive(&reply(Flags::ACK, 1))?;
        let opened = self.flow().application.opened;
        if opened { Ok(()) } else { Err("the handshake does not open the connection".into()) }
    }

    /// TCP opens a connection.
    fn connect(&mut self, pattern: &Pattern) -> Result<(), String> {
        self.call(&Call::Connect)?;
        self.expect(None, &Pattern { flags: Flags::SYN, sequence: Some(0), ..Pattern::default() })?;
        let flags = Flags::SYN | Flags::ACK;
        self.advance(self.now.after(ROUND_TRIP), false)?;
        self.receive(&Pattern { flags, sequence: Some(0), acknowledgment: Some(1), ..pattern.clone() })?;
        self.expect(None, &reply(Flags::ACK, 1))?;
        let opened = self.flow().application.opened;
        if opened { Ok(()) } else { Err("the handshake does not open the connection".into()) }
    }

    /// SYNs of as many peers, whose answers are of no interest.
    fn flood(&mut self, count: u32) -> Result<(), String> {
        for number in 0..count {
            let source: IpAddr = match self.stack {
                IpAddr::V4(_) => [10, 1, (number >> 8) as u8, number as u8].into(),
                IpAddr::V6(_) => [0xfd00, 1, 0, 0, 0, 0, (number >> 16) as u16, number as u16].into(),
            };
            let mut syn = Segment::new(SocketAddr::new(source, 5000), SocketAddr::new(self.stack, LISTENS));
            syn.flags = Flags::SYN;
            syn.sequence = number.wrapping_mul(0x9e37_79b9);
            syn.window = 65_535;
            syn.options = vec![TcpOption::Mss(1000)];
            self.process(&syn.encode())?;
            self.sent.retain(|(_, segment)| segment.destination.ip() != source);
        }
        Ok(())
    }
}

/// A segment without data behind the handshake's SYN.
fn reply(flags: Flags, number: u32) -> Pattern {
    Pattern { flags, sequence: Some(number), acknowledgment: Some(1), ..Pattern::default() }
}
