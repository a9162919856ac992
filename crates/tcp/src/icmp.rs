//! ICMP errors about segments of ours. Anyone can send one: only those that quote what is in flight are believed
//! (RFC 5927 §4), and none ends a connection that is established (§5.2).

use afpa_wire::icmp::{Error, Kind, Unreachable};
use afpa_wire::ip::{self, Packet};
use afpa_wire::sequence::Sequence;

use crate::arrival::{Arrival, Ending};
use crate::ingress::Step;
use crate::lookup::Tuple;
use crate::path_mtu;
use crate::payload::Payload;
use crate::state::{Event, State};
use crate::tcp::Tcp;
use crate::time::Time;

pub(crate) fn process<P: Payload>(tcp: &mut Tcp<P>, now: Time, packet: &Packet<'_>) -> Option<Arrival<'static>> {
    let error = match Error::parse(packet) {
        Ok(Some(error)) if error.quoted.protocol == ip::TCP => error,
        Ok(_) => return None,
        Err(_) => {
            tcp.shared.stats.malformed += 1;
            return None;
        }
    };
    let quoted = error.quoted;
    let tuple = Tuple {
        local: quoted.source,
        remote: quoted.destination,
        local_port: quoted.source_port,
        remote_port: quoted.destination_port,
    };
    let hash = tcp.shared.secret.hash(&tuple);
    let found = tcp.find(hash, &tuple);
    let Some((index, connection)) = found.and_then(|index| Some((index, tcp.slots.get_mut(index)?))) else {
        tcp.shared.stats.icmp_rejected += 1;
        return None;
    };
    let is_ours = quoted.sequence.is_some_and(|sequence| {
        Sequence(sequence).offset_from(connection.send_unacknowledged) < connection.outstanding()
    });
    if !is_ours {
        tcp.shared.stats.icmp_rejected += 1;
        return None;
    }
    let mut step = Step::default();
    match error.kind {
        // RFC 8201 §4: what was sent must have been larger than what would have been small enough.
        Kind::TooBig { mtu } if quoted.packet_len as u64 > u64::from(mtu) => {
            path_mtu::shrink(connection, &mut tcp.shared, mtu, now);
        }
        // RFC 9293 §3.9.2.2: hard errors. RFC 5461 §4: the others may pass.
        Kind::Unreachable(Unreachable::Protocol | Unreachable::Port) if connection.state == State::SynSent => {
            connection.state = connection.state.after(Event::Reset);
            step.ended = Some(Ending::Refused);
        }
        _ => {}
    }
    tcp.complete(index, now, step)
}
