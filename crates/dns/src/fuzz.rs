//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use std::cmp::Ordering;

use crate::message::{Edns, Header, MAX_NAME, Name, NameBuf, NameBuffer, Query, Record, Records, Type, Writer};

/// The most records that are written anew: enough for names to be found again, and quick.
const MAX_WRITTEN: usize = 300;

/// Reads `data` as a query, and as any message; what is understood is written anew and read again.
///
/// # Panics
/// If a view promises what does not hold, or what is written is not what is read.
pub fn message(data: &[u8]) {
    check_query(data);
    let records = check_records(data);
    check_written(data, &records[..records.len().min(MAX_WRITTEN)]);
}

fn check_query(data: &[u8]) {
    let Ok(query) = Query::read(data) else { return };
    assert!(query.question_end <= data.len());
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, query.header, data.len());
    if let Some(question) = query.question {
        check_name(question.name);
        let written = writer.question(question.name, question.qtype, question.qclass);
        assert_eq!(written, Ok(()), "a question takes the room that it took");
    }
    assert_eq!(writer.len(), query.question_end);
    if let Some(edns) = query.edns {
        assert!(edns.version == 0 && edns.udp_size >= 512);
        check_options(edns);
        let options = edns.options.as_octets();
        let written = writer.opt(edns.udp_size, query.header.rcode(), edns.dnssec_ok, options);
        assert_eq!(written, Ok(()), "an OPT record takes the room that it took");
    }
    writer.finish();
    let Ok(again) = Query::read(&octets) else { panic!("a query of ours is well-formed") };
    let flags = query.header.flags;
    assert_eq!((again.header.id, again.header.flags), (query.header.id, flags));
    assert_eq!((again.question, again.question_end), (query.question, query.question_end));
    let without_rcode = |edns: Edns<'_>| Edns { extended_rcode: 0, ..edns } == edns;
    assert_eq!(again.edns.is_some(), query.edns.is_some());
    assert!(
        again.edns.is_none_or(|again| without_rcode(again) && again.options == query.edns.unwrap_or(again).options)
    );
}

fn check_options(edns: Edns<'_>) {
    let octets: usize = edns.options.map(|option| 4 + option.data.len()).sum();
    assert_eq!(octets, edns.options.as_octets().len(), "options fill their record");
    for option in edns.options {
        assert!(edns.options.get(option.code).is_some());
    }
}

/// The records up to the first that cannot be read.
fn check_records(data: &[u8]) -> Vec<Record<'_>> {
    let Ok(records) = Records::of(data) else { return Vec::new() };
    let header = Header::read(data).unwrap_or_default();
    assert_eq!(header.to_octets()[..], data[..header.to_octets().len()]);
    let announced: usize = header.counts[1..].iter().map(|&count| usize::from(count)).sum();
    let read: Vec<_> = records.map_while(Result::ok).collect();
    assert!(read.len() <= announced && read.is_sorted_by_key(|record| record.section));
    for record in &read {
        assert_eq!(data[record.rdata_at..][..record.rdata.len()], *record.rdata);
        assert_eq!(data[record.ttl_at..][..4], record.ttl.to_be_bytes());
        if record.rtype == Type::OPT
            && let Ok(edns) = Edns::read(record)
        {
            check_options(edns);
        }
    }
    read
}

/// A record with its names written out.
struct Expanded<'a> {
    owner: NameBuf,
    record: Record<'a>,
    rdata: Vec<u8>,
}

/// Records with names that can be read, in a message of ours.
fn check_written(data: &[u8], records: &[Record<'_>]) {
    let (mut octets, mut written) = (Vec::new(), Vec::<Expanded<'_>>::new());
    let mut writer = Writer::new(&mut octets, Header::default(), usize::from(u16::MAX));
    let mut uncompressed = writer.len();
    for next in records.iter().filter_map(|record| Expanded::of(data, *record)) {
        let (owner, Record { section, rtype, class, ttl, .. }) = (next.owner.as_name(), next.record);
        check_name(owner);
        if let Some(last) = written.last() {
            check_pair(last.owner.as_name(), owner);
        }
        let before = writer.len();
        if writer.record(section, owner, rtype, class, ttl, &next.rdata).is_err() {
            assert_eq!(writer.len(), before);
            continue;
        }
        uncompressed += owner.as_wire().len() + 10 + next.rdata.len();
        assert!(writer.len() <= uncompressed, "compressed is never longer");
        written.push(next);
    }
    writer.finish();
    check_read_again(&octets, &written);
}

fn check_read_again(octets: &[u8], written: &[Expanded<'_>]) {
    let Ok(mut records) = Records::of(octets) else { panic!("a message of ours is well-formed") };
    for original in written {
        let Some(Ok(record)) = records.next() else { panic!("a record of ours is well-formed") };
        let Some(again) = Expanded::of(octets, record) else { panic!("a record of ours has names") };
        assert_eq!(again.owner.as_name().as_wire(), original.owner.as_name().as_wire(), "in the same letter case");
        let fields = |record: &Record<'_>| (record.section, record.rtype, record.class, record.ttl);
        assert_eq!(fields(&again.record), fields(&original.record));
        assert_eq!(again.rdata, original.rdata);
    }
    assert!(records.next().is_none() && records.position() == octets.len());
}

impl<'a> Expanded<'a> {
    /// `None` if a name of it cannot be read.
    fn of(message: &[u8], record: Record<'a>) -> Option<Expanded<'a>> {
        let mut name = NameBuffer::default();
        name.read(message, record.owner_at).ok()?;
        let owner = name.as_name().to_owned();
        let (fixed, names) = match record.rtype {
            Type::NS | Type::CNAME | Type::PTR | Type::MB | Type::MG | Type::MR => (0, 1),
            Type::SOA | Type::MINFO => (0, 2),
            Type::MX => (2, 1),
            _ => (0, 0),
        };
        let mut rdata = record.rdata.get(..fixed)?.to_vec();
        let (mut at, end) = (record.rdata_at + fixed, record.rdata_at + record.rdata.len());
        for _ in 0..names {
            at = name.read(message.get(..end)?, at).ok()?;
            rdata.extend_from_slice(name.as_name().as_wire());
        }
        rdata.extend_from_slice(message.get(at..end)?);
        Some(Expanded { owner, record, rdata })
    }
}

fn check_name(name: Name<'_>) {
    let wire = name.as_wire();
    assert!(wire.len() <= MAX_NAME && wire.ends_with(&[0]));
    assert_eq!(name.labels().map(|label| 1 + label.len()).sum::<usize>() + 1, wire.len());
    assert_eq!(Name::read(wire), Ok(name));
    let mut buffer = NameBuffer::default();
    assert_eq!(buffer.read(wire, 0), Ok(wire.len()));
    assert_eq!(buffer.as_name().as_wire(), wire);
    let text = name.to_string();
    let parsed: Option<NameBuf> = text.parse().ok();
    assert!(parsed.is_some_and(|parsed| parsed.as_name().as_wire() == wire), "{text} is what was written");
    assert_eq!(name.ancestors().count(), name.label_count() + 1);
    for ancestor in name.ancestors() {
        assert!(name.is_within(ancestor) && ancestor <= name);
    }
}

fn check_pair(left: Name<'_>, right: Name<'_>) {
    assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
    assert_eq!(left.cmp(&right) == Ordering::Equal, left == right);
    assert_eq!(left.is_within(right), left.ancestors().any(|ancestor| ancestor == right));
}
