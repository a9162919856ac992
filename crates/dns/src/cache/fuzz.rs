//! What the fuzz target of the cache runs.

use std::time::Duration;

use afpa_engine::Time;

use super::{Policy, Prepared, Request};
use crate::message::{HEADER_LEN, Header, Query, Records};

/// `data` is what a backend has sent. What is made of it, at any age and for any limit, can be read and fits.
///
/// # Panics
/// If not.
pub fn image(data: &[u8]) {
    let policy = Policy { stale: Duration::from_secs(60), ..Policy::default() };
    let Ok(prepared) = Prepared::of(data, &policy, Time(0)) else { return };
    let question_end = usize::from(prepared.details().question_end);
    let mut query = Header { counts: [1, 0, 0, 1], ..Header::default() }.to_octets().to_vec();
    query.extend_from_slice(&data[HEADER_LEN..question_end]);
    query.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    let query = Query::read(&query).unwrap_or_else(|error| panic!("a question that cannot be asked: {error:?}"));
    let mut answer = Vec::new();
    for limit in [512, 600, 1232, usize::from(u16::MAX)] {
        for age in [0, 1, 30, 100_000] {
            let request = Request { query: &query, limit, udp_size: 1232, options: &[] };
            prepared.image().serve(&request, Time(0).after(Duration::from_secs(age)), &mut answer);
            if answer.is_empty() {
                continue;
            }
            assert!(answer.len() <= limit);
            let mut records = Records::of(&answer).unwrap_or_else(|error| panic!("no answer: {error}"));
            assert!(records.by_ref().all(|record| record.is_ok()));
            assert_eq!(records.position(), answer.len());
        }
    }
}
