//! Messages as clients and backends write and read them.

use std::net::Ipv4Addr;

use afpa_dns::message::{
    Class, Edns, Header, Name, NameBuf, NameBuffer, Question, Rcode, Records, Section, Type, Writer, flag, option,
};

/// A query.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) name: String,
    pub(crate) qtype: Type,
    pub(crate) qclass: Class,
    pub(crate) opt: Option<Opt>,
}

/// What an OPT record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Opt {
    pub(crate) udp_size: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// A question with RD, without EDNS.
pub(crate) fn ask(name: &str, qtype: Type) -> Ask {
    Ask { id: 0x1234, flags: flag::RD, name: name.into(), qtype, qclass: Class::IN, opt: None }
}

/// A question for an address.
pub(crate) fn a(name: &str) -> Ask {
    ask(name, Type::A)
}

impl Ask {
    pub(crate) fn id(self, id: u16) -> Ask {
        Ask { id, ..self }
    }

    pub(crate) fn flags(self, flags: u16) -> Ask {
        Ask { flags, ..self }
    }

    /// With EDNS.
    pub(crate) fn edns(self, udp_size: u16) -> Ask {
        Ask { opt: Some(Opt { udp_size, dnssec_ok: false, options: Vec::new() }), ..self }
    }

    /// With an option, and EDNS.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Ask {
        if self.opt.is_none() {
            self = self.edns(1232);
        }
        self.opt.as_mut().unwrap().options.push((code, data.to_vec()));
        self
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let header = Header { id: self.id, flags: self.flags, counts: [0; 4] };
        let mut writer = Writer::new(&mut octets, header, 65_535);
        let name: NameBuf = self.name.parse().unwrap();
        writer.question(name.as_name(), self.qtype, self.qclass).unwrap();
        if let Some(opt) = &self.opt {
            writer.opt(opt.udp_size, Rcode::NOERROR, opt.dnssec_ok, &options(&opt.options)).unwrap();
        }
        writer.finish();
        octets
    }

    pub(crate) fn read(octets: &[u8]) -> Ask {
        let Answer { header, question, opt, .. } = Answer::read(octets);
        let (name, qtype, qclass) = question.expect("a question");
        Ask { id: header.id, flags: header.flags, name, qtype, qclass, opt }
    }
}

fn options(all: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let octets =
        |(code, data): &(u16, Vec<u8>)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat();
    all.iter().flat_map(octets).collect()
}

/// A message, read whole.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer {
    pub(crate) header: Header,
    /// With the upper bits.
    pub(crate) rcode: Rcode,
    pub(crate) question: Option<(String, Type, Class)>,
    pub(crate) records: Vec<Line>,
    pub(crate) opt: Option<Opt>,
    pub(crate) length: usize,
}

/// A record.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) section: Section,
    pub(crate) owner: String,
    pub(crate) rtype: Type,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(octets: &[u8]) -> Answer {
        let header = Header::read(octets).expect("a header");
        let question = (header.counts[0] > 0).then(|| {
            let (question, _) = Question::read(&octets[12..]).expect("a question");
            (question.name.to_string(), question.qtype, question.qclass)
        });
        let (mut records, mut opt, mut rcode) = (Vec::new(), None, header.rcode());
        for record in Records::of(octets).expect("a message") {
            let record = record.expect("a record");
            if record.rtype == Type::OPT {
                assert!(opt.is_none(), "two OPT records");
                let edns = Edns::read(&record).expect("an OPT record");
                rcode = edns.rcode(header);
                let options = edns.options.map(|option| (option.code, option.data.to_vec())).collect();
                opt = Some(Opt { udp_size: edns.udp_size, dnssec_ok: edns.dnssec_ok, options });
                continue;
            }
            let mut owner = NameBuffer::default();
            owner.read(octets, record.owner_at).expect("a name");
            records.push(Line {
                section: record.section,
                owner: owner.as_name().to_string(),
                rtype: record.rtype,
                ttl: record.ttl,
                data: record.rdata.to_vec(),
            });
        }
        Answer { header, rcode, question, records, opt, length: octets.len() }
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.header.has(flag)
    }

    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        let found = self.opt.as_ref()?.options.iter().find(|(of, _)| *of == code)?;
        Some(&found.1)
    }

    /// The code of the extended error.
    pub(crate) fn error(&self) -> Option<u16> {
        self.option(option::EXTENDED_ERROR).map(|data| u16::from_be_bytes([data[0], data[1]]))
    }

    /// The addresses in the answer section with their TTLs.
    pub(crate) fn addresses(&self) -> Vec<(Ipv4Addr, u32)> {
        let of_answer = self.records.iter().filter(|line| (line.section, line.rtype) == (Section::Answer, Type::A));
        of_answer.map(|line| (<[u8; 4]>::try_from(&line.data[..]).unwrap().into(), line.ttl)).collect()
    }

    /// The code, how many answers there are, and the code of the extended error.
    pub(crate) fn summary(&self) -> (Rcode, u16, Option<u16>) {
        (self.rcode, self.header.counts[1], self.error())
    }
}

/// A backend's answer in the making.
pub(crate) struct Reply {
    id: u16,
    flags: u16,
    question: Vec<u8>,
    records: Vec<(Section, String, Type, u32, Vec<u8>)>,
    opt: Option<Vec<(u16, Vec<u8>)>>,
    rcode: Rcode,
}

/// To the question in `octets`, an answer without records.
pub(crate) fn reply(octets: &[u8]) -> Reply {
    let header = Header::read(octets).unwrap();
    let (_, length) = Question::read(&octets[12..]).unwrap();
    Reply {
        id: header.id,
        flags: flag::QR | flag::RA | header.flags & flag::RD,
        question: octets[12..12 + length].to_vec(),
        records: Vec::new(),
        opt: None,
        rcode: Rcode::NOERROR,
    }
}

impl Reply {
    pub(crate) fn id(self, id: u16) -> Reply {
        Reply { id, ..self }
    }

    pub(crate) fn flags(self, flags: u16) -> Reply {
        Reply { flags: self.flags | flags, ..self }
    }

    pub(crate) fn rcode(self, rcode: Rcode) -> Reply {
        Reply { rcode, ..self }
    }

    /// About another question.
    pub(crate) fn question(self, ask: &Ask) -> Reply {
        Reply { question: ask.octets()[12..].to_vec(), ..self }
    }

    /// With the letters of the question changed in their case.
    pub(crate) fn swapped(mut self) -> Reply {
        let end = self.question.len() - 4;
        for octet in &mut self.question[..end] {
            if octet.is_ascii_alphabetic() {
                *octet ^= 0x20;
            }
        }
        self
    }

    /// With an option, and an OPT record.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Reply {
        self.opt.get_or_insert_default().push((code, data.to_vec()));
        self
    }

    pub(crate) fn record(mut self, section: Section, owner: &str, rtype: Type, ttl: u32, data: &[u8]) -> Reply {
        self.records.push((section, owner.into(), rtype, ttl, data.to_vec()));
        self
    }

    /// With an address of the name that was asked for.
    pub(crate) fn address(self, ttl: u32, address: [u8; 4]) -> Reply {
        let owner = Name::read(&self.question).unwrap().to_string();
        self.record(Section::Answer, &owner, Type::A, ttl, &address)
    }

    /// With the SOA record of `example.`.
    pub(crate) fn soa(self, ttl: u32, minimum: u32) -> Reply {
        let root: NameBuf = ".".parse().unwrap();
        let mut data = [root.as_name().as_wire(), root.as_name().as_wire()].concat();
        for number in [1, 3600, 600, 86_400, minimum] {
            data.extend_from_slice(&u32::to_be_bytes(number));
        }
        self.record(Section::Authority, "example.", Type::SOA, ttl, &data)
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let header = Header { id: self.id, flags: self.flags | self.rcode.0 & 0xf, counts: [0; 4] };
        let mut writer = Writer::new(&mut octets, header, 65_535);
        let (question, _) = Question::read(&self.question).unwrap();
        writer.question(question.name, question.qtype, question.qclass).unwrap();
        for (section, owner, rtype, ttl, data) in &self.records {
            let owner: NameBuf = owner.parse().unwrap();
            writer.record(*section, owner.as_name(), *rtype, Class::IN, *ttl, data).unwrap();
        }
        if let Some(all) = &self.opt {
            writer.opt(1232, self.rcode, false, &options(all)).unwrap();
        } else if self.rcode.0 > 0xf {
            writer.opt(1232, self.rcode, false, &[]).unwrap();
        }
        writer.finish();
        octets
    }
}
