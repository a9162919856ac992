//! A TCP with applications, driven as a transport drives it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_tcp::{Arrival, Config, ConnectError, Ending, Handle, Input, Integrity, Opened, Tcp, Time};

use crate::application::{Application, Calls, Ledger};
use crate::device::{Device, Style, merge};
use crate::network::Endpoint;

/// Makes the application of an accepted connection.
pub type Factory = Box<dyn FnMut() -> Box<dyn Application>>;

/// A host: process, show the input, consume, dispatch.
pub struct Host {
    tcp: Tcp<Rc<[u8]>>,
    address: IpAddr,
    mtu: u16,
    style: Style,
    factory: Option<Factory>,
    running: HashMap<Handle, Running>,
    /// What has arrived and is to be merged.
    arrived: Vec<Vec<u8>>,
    /// How far the host's clock is ahead.
    ahead: Duration,
    /// The device was full, and has room again at this moment.
    room_at: Option<Time>,
    endings: Vec<Ending>,
    accepted: u64,
}

struct Running {
    application: Box<dyn Application>,
    ledger: Ledger,
    unread: usize,
    /// The peer has finished, but there is unread input.
    finishing: bool,
}

/// How long a full device takes to have room again.
const ROOM_AFTER: Duration = Duration::from_micros(5);

impl Host {
    /// A host without listeners and connections.
    pub fn new(address: IpAddr, config: Config, style: Style, seed: u64) -> Host {
        let mut key = [0; 32];
        fastrand::Rng::with_seed(seed).fill(&mut key);
        Host {
            mtu: config.mtu,
            tcp: Tcp::new(config, key),
            address,
            style,
            factory: None,
            running: HashMap::new(),
            arrived: Vec::new(),
            ahead: Duration::ZERO,
            room_at: None,
            endings: Vec::new(),
            accepted: 0,
        }
    }

    /// Accepts connections at a port of its address.
    ///
    /// # Panics
    /// TCP refuses to listen there.
    pub fn listen(&mut self, port: u16, factory: Factory) {
        let local = SocketAddr::new(self.address, port);
        let listened = self.tcp.listen(local, u32::from(port));
        assert!(listened.is_ok(), "{local}: {listened:?}");
        self.factory = Some(factory);
    }

    /// Opens a connection for an application.
    ///
    /// # Panics
    /// TCP refuses.
    pub fn connect(&mut self, now: Time, remote: SocketAddr, application: Box<dyn Application>) -> Handle {
        self.try_connect(now, remote, application).unwrap_or_else(|error| panic!("{remote}: {error}"))
    }

    /// Opens a connection for an application, if TCP can.
    ///
    /// # Errors
    /// Those of [`Tcp::connect`].
    pub fn try_connect(
        &mut self,
        now: Time,
        remote: SocketAddr,
        application: Box<dyn Application>,
    ) -> Result<Handle, ConnectError> {
        let handle = self.tcp.connect(now.after(self.ahead), self.address, remote, 7)?;
        self.start(handle, application);
        Ok(handle)
    }

    /// Its TCP.
    pub fn tcp(&self) -> &Tcp<Rc<[u8]>> {
        &self.tcp
    }

    /// Its TCP, for a test that interferes.
    pub fn tcp_mut(&mut self) -> &mut Tcp<Rc<[u8]>> {
        &mut self.tcp
    }

    /// How its connections ended, in order.
    pub fn endings(&self) -> &[Ending] {
        &self.endings
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    fn start(&mut self, handle: Handle, application: Box<dyn Application>) {
        let running = Running { application, ledger: Ledger::default(), unread: 0, finishing: false };
        let before = self.running.insert(handle, running);
        assert!(before.is_none(), "{handle:?} names two connections");
    }

    fn process(&mut self, now: Time, packet: &[u8], integrity: Integrity) {
        if let Some(arrival) = self.tcp.process(now, packet, integrity) {
            self.take(now, arrival);
        }
    }

    /// Does for an application what an arrival says, in the order in which it happened.
    fn take(&mut self, now: Time, arrival: Arrival<'_>) {
        let handle = arrival.handle;
        if let Some(Opened::Accepted(_)) = arrival.opened {
            let Some(factory) = self.factory.as_mut() else { panic!("accepted without a listener") };
            let application = factory();
            self.accepted += 1;
            self.start(handle, application);
        }
        let Some(mut running) = self.running.remove(&handle) else { panic!("an arrival for dead {handle:?}") };
        let tcp = &mut self.tcp;
        if arrival.opened.is_some() {
            running.call(tcp, handle, now, |application, calls| application.opened(calls));
        }
        if arrival.acknowledged > 0 {
            running.ledger.acknowledge(arrival.acknowledged);
            running.call(tcp, handle, now, |application, calls| application.acknowledged(calls));
        }
        match arrival.input {
            _ if running.ledger.aborted => {}
            Input::None => {}
            Input::Frame(octets) => running.show_frame(tcp, handle, now, octets),
            Input::Buffered => running.show_unread(tcp, handle, now),
        }
        running.finishing |= arrival.finished;
        running.finish_if_read(tcp, handle, now);
        match arrival.ended {
            Some(ending) => {
                assert!(ending != Ending::Closed || running.ledger.is_settled(), "closed with octets on the way");
                running.ledger.end();
                if !running.ledger.aborted {
                    running.application.ended(ending);
                }
                self.endings.push(ending);
            }
            None if running.ledger.aborted => running.ledger.end(),
            None => {
                self.running.insert(handle, running);
            }
        }
    }

    fn wake(&mut self, now: Time) {
        let due = |running: &Running| running.application.wake().is_some_and(|at| at <= now);
        let mut handles: Vec<_> = self.running.iter().filter(|(_, running)| due(running)).map(|(h, _)| *h).collect();
        handles.sort_by_key(|handle| (handle.index, handle.generation));
        for handle in handles {
            let Some(mut running) = self.running.remove(&handle) else { continue };
            running.show_unread(&mut self.tcp, handle, now);
            running.finish_if_read(&mut self.tcp, handle, now);
            if !running.ledger.aborted {
                self.running.insert(handle, running);
            }
        }
    }
}

impl Endpoint for Host {
    fn receive(&mut self, now: Time, packet: &[u8]) {
        if self.style.merges {
            self.arrived.push(packet.to_vec());
        } else {
            self.process(now.after(self.ahead), packet, Integrity::Verify);
        }
    }

    fn expire(&mut self, now: Time) {
        let now = now.after(self.ahead);
        for (packet, integrity) in merge(&std::mem::take(&mut self.arrived)) {
            self.process(now, &packet, integrity);
        }
        self.wake(now);
        while let Some(arrival) = self.tcp.expire(now) {
            self.take(now, arrival);
        }
        let late = self.tcp.next_deadline().filter(|deadline| *deadline <= now);
        assert!(late.is_none(), "a deadline at {late:?} is left at {now:?}");
    }

    fn transmit(&mut self, now: Time, out: &mut Vec<Vec<u8>>) {
        if self.room_at.is_some_and(|at| at > now) {
            return;
        }
        let mut device = Device::new(self.style, self.mtu, out);
        let drained = self.tcp.dispatch(now.after(self.ahead), &mut device);
        assert!(drained || device.is_full(), "dispatch gave up with room in the device");
        self.room_at = (!drained).then(|| now.after(ROOM_AFTER));
    }

    fn deadline(&self) -> Option<Time> {
        let wakes = self.running.values().filter_map(|running| running.application.wake());
        let local = wakes.chain(self.tcp.next_deadline()).filter(|at| *at != Time::NEVER).min();
        let ahead = self.ahead.as_nanos() as u64;
        local.map(|at| Time(at.0.saturating_sub(ahead))).into_iter().chain(self.room_at).min()
    }

    fn leap(&mut self, by: Duration) {
        self.ahead += by;
    }
}

impl Running {
    fn call<T>(
        &mut self,
        tcp: &mut Tcp<Rc<[u8]>>,
        handle: Handle,
        now: Time,
        call: impl FnOnce(&mut dyn Application, &mut Calls<'_>) -> T,
    ) -> T {
        let mut calls = Calls { tcp, ledger: &mut self.ledger, handle, now };
        call(self.application.as_mut(), &mut calls)
    }

    fn show_frame(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, now: Time, octets: &[u8]) {
        assert_eq!(self.unread, 0, "a frame was shown in front of what is unread");
        assert!(!octets.is_empty() && !self.finishing && !self.ledger.closed, "input that nobody expects");
        let consumed = self.call(tcp, handle, now, |application, calls| application.input(octets, calls));
        assert!(consumed <= octets.len());
        self.unread = octets.len() - consumed;
        tcp.consumed(handle, &octets[consumed..], consumed);
    }

    fn show_unread(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, now: Time) {
        let unread = tcp.take_unread(handle);
        assert!(unread.len() >= self.unread || self.ledger.closed, "unread input is gone");
        let consumed = self.call(tcp, handle, now, |application, calls| application.input(&unread, calls));
        assert!(consumed <= unread.len());
        self.unread = unread.len() - consumed;
        tcp.give_unread(handle, unread, consumed);
    }

    fn finish_if_read(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, now: Time) {
        if self.finishing && self.unread == 0 && !self.ledger.aborted {
            self.finishing = false;
            self.call(tcp, handle, now, |application, calls| application.finished(calls));
        }
    }
}
