//! Requests allocate nothing, whether they go, wait or are refused.

use afpa_classes::{
    Bandwidth, ClassConfig, Classes, Classifier, ClientLimits, Clients, Decision, Gate, HostPattern, Limit, Overload,
    OverloadConfig, Permit, Priority, RequestView, Rule, Turn, ValueTest,
};
use afpa_platform::testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Requests {
    classes: Classes,
    classifier: Classifier,
    clients: Clients,
    overload: Overload,
    gate: Gate<u64>,
    bandwidth: Bandwidth,
    running: Vec<Permit>,
    outcomes: [u32; 3],
}

impl Requests {
    fn new() -> Requests {
        let classes = Classes::new(vec![
            ClassConfig { name: "gold".to_owned(), bandwidth: Limit::per_second(1_000, 100), ..ClassConfig::default() },
            ClassConfig { rate: Limit::per_second(500_000, 10), queue: 20, ..ClassConfig::default() },
        ])
        .unwrap();
        let rule = Rule {
            clients: vec!["192.0.2.0/24".parse().unwrap()],
            hosts: vec![HostPattern::new("*.example.com")],
            cookies: vec![("plan".to_owned(), ValueTest::Prefix(b"gold".to_vec()))],
            class: classes.find("gold").unwrap(),
            ..Rule::default()
        };
        let limits = ClientLimits { rate: Limit::per_second(1_000_000, 1_000), ..ClientLimits::default() };
        Requests {
            classifier: Classifier::new(vec![rule], classes.find("default").unwrap()).unwrap(),
            clients: Clients::new(limits, [1; 16]),
            overload: Overload::new(&classes, Some(OverloadConfig::default())),
            gate: Gate::new(&classes, 10),
            bandwidth: Bandwidth::new(&classes),
            classes,
            running: Vec::with_capacity(100),
            outcomes: [0; 3],
        }
    }

    /// Three arrive, of which the last is of the other class; one ends.
    fn pass(&mut self, now: u64) {
        for number in 0..3 {
            let cookies = if number == 2 { "plan=none" } else { "a=b; plan=gold1" };
            let fields = [("cookie", cookies)];
            let client = [192, 0, 2, now as u8].into();
            let request = RequestView { client, host: b"www.example.com", path: b"/", fields: &fields };
            let class = self.classifier.class(&request);
            self.overload.observe(now, now);
            let Ok(slot) = self.clients.arrive(client, now) else { continue };
            self.clients.ended(slot);
            let priority = Priority::parse([b"u=1, i, x=(1 2)".as_slice()]);
            match self.gate.arrive(class, now, number, priority) {
                Decision::Go { permit, .. } => {
                    self.running.push(permit);
                    self.outcomes[0] += 1;
                }
                Decision::Wait(_) => self.outcomes[1] += 1,
                Decision::Refuse { .. } => self.outcomes[2] += 1,
            }
            let _ = self.bandwidth.send(class, now, 40);
        }
        if let Some(permit) = self.running.pop() {
            self.gate.ended(permit);
        }
        while let Some(Turn::Go { permit, .. }) = self.gate.next(now) {
            self.running.push(permit);
        }
    }
}

#[test]
fn requests_allocate_nothing() {
    let mut requests = Requests::new();
    // The queues get their room as they are used for the first time.
    (0..2_000).for_each(|pass| requests.pass(pass * 1_000));
    requests.outcomes = [0; 3];
    let before = CountingAllocator::allocations();
    (2_000..4_000).for_each(|pass| requests.pass(pass * 1_000));
    assert_eq!(CountingAllocator::allocations(), before);
    assert!(requests.outcomes[1] > 0 && requests.outcomes[2] > 0, "{:?}", requests.outcomes);
    assert_eq!(requests.classes.len(), 2);
}
