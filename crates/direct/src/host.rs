//! A host of our own on a link: where no kernel stands below us (TAP), we answer for our addresses, and ask
//! for those of others.

use std::collections::VecDeque;
use std::net::IpAddr;

use afpa_platform::netlink::{Address, Change, Link, Route};
use afpa_tcp::Time;
use afpa_wire::{MacAddress, ethernet, ip};

use crate::neighbours::Neighbours;
use crate::resolution::{Due, Notice, Resolution};

/// Frames that wait for room on the device; beyond it they are lost, and whoever asks asks again.
const QUEUE: usize = 256;
/// The IPv6 header's octet that says what follows.
const NEXT_HEADER: usize = 6;

/// What a frame is to our host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrived {
    /// For another host.
    Foreign,
    /// For us.
    Ours,
    /// For us, and a neighbour's link address became known by it.
    News,
}

/// Our host: its link address, the addresses that it answers for, its questions and answers.
pub(crate) struct Host {
    own: MacAddress,
    resolution: Resolution,
    notices: VecDeque<Notice>,
}

impl Host {
    /// Answers for `addresses` with the link address `own`.
    pub(crate) fn new(own: MacAddress, addresses: &[IpAddr], neighbours: &mut Neighbours) -> Host {
        let link = Link { present: true, mtu: 0, address: Some(own.0), is_up: true, has_carrier: true };
        neighbours.apply(&Change::Link(link));
        Host { own, resolution: Resolution::new(own, None, addresses), notices: VecDeque::new() }
    }

    /// Takes over what the kernel says of its end of the link: its address there is our neighbour, its
    /// network there is ours too, and it is our gateway.
    pub(crate) fn told(&self, change: &Change, neighbours: &mut Neighbours) {
        let Change::Address(Address { present, address, prefix, .. }) = *change else { return };
        let near =
            Route { present, replaces: false, destination: address, prefix, gateway: None, metric: 0, source: None };
        neighbours.apply(&Change::Route(near));
        if !is_link_local(address) {
            let destination = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let far = Route { destination, prefix: 0, gateway: Some(address), ..near };
            neighbours.apply(&Change::Route(far));
        }
    }

    /// Looks whether a frame is for our host. What its sender asks, or answers, is taken over.
    pub(crate) fn arrived(
        &mut self,
        now: Time,
        frame: &[u8],
        parsed: &ethernet::Frame<'_>,
        neighbours: &mut Neighbours,
    ) -> Arrived {
        if parsed.destination != self.own && !parsed.destination.is_group() {
            return Arrived::Foreign;
        }
        let may_resolve = match parsed.ether_type {
            ethernet::ARP => true,
            ethernet::IPV6 => parsed.payload.get(NEXT_HEADER) == Some(&ip::ICMPV6),
            _ => false,
        };
        let Some(resolved) = may_resolve.then(|| self.resolution.arrived(now, frame)).flatten() else {
            return Arrived::Ours;
        };
        if let Some(reply) = resolved.reply {
            self.queue(reply);
        }
        match resolved.learned {
            Some(neighbour) => {
                neighbours.apply(&Change::Neighbour(neighbour));
                Arrived::News
            }
            None => Arrived::Ours,
        }
    }

    /// Asks for what is needed, and does what is due. Returns whether what was known of a neighbour has changed.
    pub(crate) fn refresh(&mut self, now: Time, neighbours: &mut Neighbours) -> bool {
        while let Some(next_hop) = neighbours.wanted(now) {
            self.resolution.resolve(now, next_hop);
        }
        let mut changed = false;
        while let Some(due) = self.resolution.due(now) {
            match due {
                Due::Request(notice) => self.queue(notice),
                Due::Told(neighbour) => {
                    neighbours.apply(&Change::Neighbour(neighbour));
                    changed = true;
                }
            }
        }
        changed
    }

    /// When time alone brings something.
    pub(crate) fn next_deadline(&self) -> Time {
        self.resolution.next_deadline()
    }

    /// The next frame to be sent.
    pub(crate) fn front(&self) -> Option<&Notice> {
        self.notices.front()
    }

    /// The frame in front has left.
    pub(crate) fn sent(&mut self) {
        self.notices.pop_front();
    }

    fn queue(&mut self, notice: Notice) {
        if self.notices.len() < QUEUE {
            self.notices.push_back(notice);
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
