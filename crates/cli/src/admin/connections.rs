//! The query of `/api/connections`, and its answer.

use crate::stats::{Connection, Source, State};

/// How many connections are listed unless the query says otherwise.
const USUAL: usize = 1000;
/// The most that a query may ask for, and the most that are looked at to find those in one state.
const MOST: usize = 100_000;

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    limit: usize,
    state: Option<State>,
}

impl Query {
    /// Reads `limit=100&state=established`, in any order; both may be absent.
    ///
    /// # Errors
    /// What the client did wrong, in a sentence.
    pub(super) fn parse(query: &str) -> Result<Query, String> {
        let mut parsed = Query { limit: USUAL, state: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("limit", number)) => {
                    let limit = number.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    parsed.limit =
                        limit.ok_or(format!("limit: expected a number from 1 to {MOST}, found {number:?}"))?;
                }
                Some(("state", name)) => {
                    parsed.state = Some(name.parse().map_err(|malformed| format!("state: {malformed}"))?);
                }
                _ => return Err(format!("expected limit= or state=, found {pair:?}")),
            }
        }
        Ok(parsed)
    }

    /// The connections that match.
    pub(super) fn answer(&self, source: &dyn Source) -> Vec<Connection> {
        let Some(state) = self.state else { return source.connections(self.limit) };
        let mut connections = source.connections(MOST);
        connections.retain(|connection| connection.state == state);
        connections.truncate(self.limit);
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let good = [
            ("", Query { limit: USUAL, state: None }),
            ("limit=5", Query { limit: 5, state: None }),
            ("state=time-wait&limit=100000", Query { limit: 100_000, state: Some(State::TimeWait) }),
        ];
        for (text, query) in good {
            assert_eq!(Query::parse(text), Ok(query), "{text}");
        }
        let bad = [
            ("limit=0", "limit: expected a number from 1 to 100000, found \"0\""),
            ("limit=-1", "limit: expected a number from 1 to 100000, found \"-1\""),
            ("limit", "expected limit= or state=, found \"limit\""),
            ("port=80", "expected limit= or state=, found \"port=80\""),
        ];
        for (text, error) in bad {
            assert_eq!(Query::parse(text), Err(error.into()), "{text}");
        }
        assert!(Query::parse("state=open").unwrap_err().starts_with("state: expected a state such as established, "));
    }
}
