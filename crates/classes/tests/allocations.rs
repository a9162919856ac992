//! Requests allocate nothing, whether they go, wait or are refused.

use afpa_classes::{
    Bandwidth, ClassConfig, Classes, ClientLimits, Clients, Decision, Gate, Limit, Overload, OverloadConfig, Permit,
    Priority, Rates, Turn,
};
use afpa_platform::testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Requests {
    classes: Classes,
    rates: Rates,
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
        let limits = ClientLimits { rate: Limit::per_second(1_000_000, 1_000), ..ClientLimits::default() };
        Requests {
            rates: Rates::new(&classes),
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
            let class = self.classes.at(usize::from(number == 2)).unwrap();
            let client = [192, 0, 2, now as u8].into();
            self.overload.observe(now, now);
            let Ok(slot) = self.clients.arrive(client, now) else { continue };
            self.clients.ended(slot);
            if self.rates.arrive(class, now).is_err() {
                continue;
            }
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
