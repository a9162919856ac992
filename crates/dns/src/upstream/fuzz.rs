//! What the fuzz targets of `upstream` run: any octets in, a panic only if a promise is broken.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use afpa_engine::Time;

use super::{
    Ask, Attempt, BackendConfig, ClientSubnet, Expected, PoolConfig, Pools, Received, SubnetPolicy, Verdict,
    build_query,
};
use crate::message::{HEADER_LEN, Header, NameBuf, Query, Question, Records, Type, flag};

/// `data` is what a backend sent: as it is, and behind the header and the question that it should have. What matches
/// can be read, and the next question shows what was learnt.
///
/// # Panics
/// If not.
pub fn answer(data: &[u8]) {
    for (tcp, edns) in [(false, true), (false, false), (true, true)] {
        let Some(mut dialogue) = Dialogue::new(tcp, edns) else { return };
        dialogue.receive(data);
        let Some((&[flags, rcode, answers, authorities, others], records)) = data.split_first_chunk() else { continue };
        let flags = flag::QR | u16::from(flags & 0x7) << 8 | u16::from(rcode);
        let counts = [1, answers.into(), authorities.into(), others.into()];
        let header = Header { id: dialogue.expected.id(), flags, counts };
        let message = [&header.to_octets()[..], &dialogue.question, records].concat();
        dialogue.receive(&message);
    }
}

/// One question to one backend.
struct Dialogue {
    pools: Pools,
    attempt: Attempt,
    ask: Ask,
    expected: Expected,
    question: Vec<u8>,
}

impl Dialogue {
    fn new(tcp: bool, edns: bool) -> Option<Dialogue> {
        let backend = BackendConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        let subnet = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
        let config = PoolConfig { subnet, ..PoolConfig::new("fuzzed", vec![backend]) };
        let pools = Pools::new(vec![config], &mut || 0x5555).ok()?;
        let (backend, _) = pools.iter().next()?.backends().next()?;
        let attempt = Attempt { backend, tcp, edns, timeout: Duration::from_secs(1) };
        let name: NameBuf = "a.example".parse().ok()?;
        let subnet = Some(ClientSubnet::new(Ipv4Addr::LOCALHOST.into(), 24));
        let ask = Ask { subnet, ..Ask::new(name, Type::A) };
        let (expected, question) = send(&pools, &ask, &attempt)?;
        Some(Dialogue { pools, attempt, ask, expected, question })
    }

    fn receive(&mut self, message: &[u8]) {
        let Received::Matched(matched) = self.expected.receive(message) else { return };
        assert!(message[..2] == self.expected.id().to_be_bytes() && message[2] & 0x80 != 0);
        if matched.verdict == Verdict::Answer {
            let question = &message[HEADER_LEN..HEADER_LEN + self.question.len()];
            assert!(question.eq_ignore_ascii_case(&self.question));
            let Ok(mut records) = Records::of(message) else { panic!("an answer without records") };
            assert!(records.by_ref().all(|record| record.is_ok()));
            assert_eq!(records.position(), message.len());
        }
        assert!(matched.server_cookie.is_none_or(|cookie| (8..=32).contains(&cookie.len())));
        if let Some(backend) = self.pools.backend_mut(self.attempt.backend) {
            backend.learn(&self.expected, &matched, Time(0));
        }
        assert!(send(&self.pools, &self.ask, &self.attempt).is_some());
    }
}

/// What a question expects, and the question as it was sent.
fn send(pools: &Pools, ask: &Ask, attempt: &Attempt) -> Option<(Expected, Vec<u8>)> {
    let mut octets = Vec::new();
    let expected = build_query(ask, pools.get(attempt.backend.pool)?, attempt, Time(0), &mut || 0x5555, &mut octets)?;
    let message = &octets[if attempt.tcp { 2 } else { 0 }..];
    let Ok(query) = Query::read(message) else { panic!("a query of ours is well-formed") };
    assert_eq!(query.question.map(|Question { qtype, .. }| qtype), Some(ask.qtype));
    let question = message[HEADER_LEN..query.question_end].to_vec();
    Some((expected, question))
}
