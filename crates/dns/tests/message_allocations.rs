//! Reading a query and writing its answer allocate nothing.

use afpa_dns::message::{Class, Header, NameBuf, NameBuffer, Query, Rcode, Records, Section, Type, Writer};
use afpa_platform::testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn reading_a_query_and_writing_its_answer_allocate_nothing() {
    let (zone, host): (NameBuf, NameBuf) = ("example".parse().unwrap(), "ns.example".parse().unwrap());
    let mut query = Vec::new();
    let mut writer = Writer::new(&mut query, Header::default(), 512);
    writer.question(host.as_name(), Type::A, Class::IN).unwrap();
    writer.opt(1232, Rcode::NOERROR, true, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    writer.finish();
    // A record is written before it is seen not to fit: room for one more than the limit.
    let mut answer = Vec::with_capacity(1232 + 512);

    let before = CountingAllocator::allocations();
    for _ in 0..10 {
        let query = Query::read(&query).unwrap();
        let question = query.question.unwrap();
        let mut writer = Writer::new(&mut answer, query.header, 1232);
        writer.reserve(11);
        writer.question(question.name, question.qtype, question.qclass).unwrap();
        writer.record(Section::Answer, question.name, Type::A, Class::IN, 60, &[192, 0, 2, 1]).unwrap();
        let target = host.as_name().as_wire();
        while writer.record(Section::Authority, zone.as_name(), Type::NS, Class::IN, 60, target).is_ok() {}
        writer.opt(1232, Rcode::NOERROR, false, &[]).unwrap();
        writer.finish();
        let mut owner = NameBuffer::default();
        for record in Records::of(&answer).unwrap() {
            owner.read(&answer, record.unwrap().owner_at).unwrap();
            assert!(owner.as_name().is_root() || owner.as_name().is_within(zone.as_name()));
            assert!(owner.as_name() <= host.as_name());
        }
    }
    assert_eq!(CountingAllocator::allocations() - before, 0);
}
