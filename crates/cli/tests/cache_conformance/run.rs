//! All cases at once, each in a thread of its own: most of their time is pauses.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::case::Case;
use crate::client::{PATIENCE, ask};
use crate::judge::{Failure, judge_requests, judge_response};
use crate::origin::Origin;

/// How long a client pauses. Lifetimes that are to end meanwhile are 2 s at most; the time that passes is what a cache
/// in front of a real origin is about, and nobody but the clock can tell it.
const PAUSE: Duration = Duration::from_secs(3);
/// Between two requests: a cache may store what it has answered before.
const BREATH: Duration = Duration::from_millis(50);
/// Between the starts of two cases: all at once they would be a test of load.
const STAGGER: Duration = Duration::from_millis(4);

/// What each of the cases comes to, in their order.
pub(crate) fn run(cases: &[Case], origin: &Origin, proxy: SocketAddr) -> Vec<Result<(), Failure>> {
    let seed = RandomState::new();
    thread::scope(|scope| {
        let start = |(index, case)| {
            thread::sleep(STAGGER);
            // As long as Content-Length is in the cases that set it.
            let token = format!("{:016x}-{index:019x}", seed.hash_one(index));
            scope.spawn(move || run_case(case, &token, origin, proxy))
        };
        let running: Vec<_> = cases.iter().enumerate().map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn run_case(case: &Case, token: &str, origin: &Origin, proxy: SocketAddr) -> Result<(), Failure> {
    origin.learn(token, &case.exchanges);
    let mut responses = Vec::new();
    for (index, exchange) in case.exchanges.iter().enumerate() {
        let number = index + 1;
        let response = ask(proxy, token, number, exchange, responses.last()).map_err(|error| Failure {
            is_in_preparation: exchange.is_preparation,
            reason: match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no response {number} within {PATIENCE:?}"),
                _ => format!("no response {number}: {error}"),
            },
        })?;
        judge_response(exchange, number, token, &response)?;
        responses.push(response);
        thread::sleep(if exchange.is_pausing { PAUSE } else { BREATH });
    }
    judge_requests(&case.exchanges, &responses, &origin.seen(token))
}
