//! What is wrong with the responses that a client got, and with the requests that the origin got.

use std::collections::HashSet;

use crate::case::{Exchange, Expected, ExpectedBody, ExpectedStatus, Source};
use crate::client::Response;
use crate::message::leading_number;
use crate::origin::{CLOCK, COUNT, NOT_VALIDATED, NUMBERS, Seen, resolve};

/// Why a case does not pass.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// It failed before it came to its point.
    pub(crate) is_in_preparation: bool,
    pub(crate) reason: String,
}

/// Fails with a reason, unless something holds.
fn ensure(holds: bool, is_in_preparation: bool, reason: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure { is_in_preparation, reason: reason() }) }
}

/// Judges the response to the request of this number.
pub(crate) fn judge_response(
    exchange: &Exchange,
    number: usize,
    token: &str,
    response: &Response,
) -> Result<(), Failure> {
    let preparing = exchange.is_preparation;
    let numbers = response.fields.get(NUMBERS).unwrap_or_default();
    let numbers: Vec<_> = numbers.split(' ').collect();
    let distinct: HashSet<_> = numbers.iter().collect();
    ensure(distinct.len() == numbers.len(), true, || format!("the origin was asked {numbers:?}: one of them twice"))?;
    judge_source(exchange, number, response)?;
    judge_status(exchange, number, response)?;
    for (name, expected) in &exchange.expected_fields {
        judge_field(name, expected, number, response, preparing)?;
    }
    judge_interim(exchange, number, response)?;
    judge_body(exchange, number, token, response)
}

fn judge_source(exchange: &Exchange, number: usize, response: &Response) -> Result<(), Failure> {
    let count = response.fields.number(COUNT);
    let is_number = |count: i64| usize::try_from(count) == Ok(number);
    let is_right = match exchange.source {
        // Some leave it out of a 304.
        Source::Cache if response.status == 304 && count.is_none() => true,
        Source::Cache => count.is_some_and(|count| usize::try_from(count).is_ok_and(|count| count < number)),
        Source::Origin => count.is_some_and(is_number),
        Source::Anywhere | Source::CacheByTag | Source::CacheByDate => true,
    };
    ensure(is_right, exchange.is_preparation, || {
        let count = count.map_or("no number of the origin's".to_owned(), |count| format!("the origin's {count}"));
        format!("response {number} is not from {:?}: it has {count}", exchange.source)
    })
}

fn judge_status(exchange: &Exchange, number: usize, response: &Response) -> Result<(), Failure> {
    let status = response.status;
    let wrong = |expected: u16| format!("response {number} has status {status}, not {expected}");
    match (exchange.expected_status, exchange.status) {
        (ExpectedStatus::Any, _) => Ok(()),
        (ExpectedStatus::Is(expected), _) => ensure(status == expected, exchange.is_preparation, || wrong(expected)),
        (ExpectedStatus::Scripted, Some((expected, _))) => ensure(status == expected, true, || wrong(expected)),
        (ExpectedStatus::Scripted, None) if status == NOT_VALIDATED => {
            let reason = format!("the origin was not asked whether what is stored is current, for request {number}");
            Err(Failure { is_in_preparation: exchange.is_preparation, reason })
        }
        (ExpectedStatus::Scripted, None) => ensure(status == 200, true, || wrong(200)),
    }
}

fn judge_field(
    name: &str,
    expected: &Expected,
    number: usize,
    response: &Response,
    preparing: bool,
) -> Result<(), Failure> {
    let found = response.fields.get(name);
    let (is_right, what) = match expected {
        Expected::Present => (found.is_some(), "something".to_owned()),
        Expected::Is(value) => {
            let value = resolve(value, response.fields.number(CLOCK).unwrap_or_default());
            (found.as_ref() == Some(&value), format!("{value:?}"))
        }
        Expected::Above(limit) => {
            let found = found.as_deref().and_then(leading_number);
            (found.is_some_and(|found| found > *limit), format!("more than {limit}"))
        }
        Expected::Missing => (found.is_none(), "nothing".to_owned()),
        Expected::Not(value) => {
            let has_it = found.as_ref().is_some_and(|found| found.contains(value));
            (!has_it, format!("anything but {value:?}"))
        }
    };
    ensure(is_right, preparing, || format!("{name} of response {number} is {found:?}, not {what}"))
}

fn judge_interim(exchange: &Exchange, number: usize, response: &Response) -> Result<(), Failure> {
    let Some(expected) = &exchange.expected_interim else { return Ok(()) };
    let preparing = exchange.is_preparation;
    for ((status, fields), (found_status, found)) in expected.iter().zip(&response.interim) {
        ensure(status == found_status, preparing, || format!("interim response {found_status}, not {status}"))?;
        for (name, value) in fields {
            let is_right = found.get(name).as_deref() == Some(value);
            ensure(is_right, preparing, || format!("{name} of an interim response is {:?}", found.get(name)))?;
        }
    }
    let (expected, found) = (expected.len(), response.interim.len());
    ensure(expected == found, preparing, || format!("{found} interim responses before response {number}"))
}

fn judge_body(exchange: &Exchange, number: usize, token: &str, response: &Response) -> Result<(), Failure> {
    let (expected, preparing) = match (exchange.expected_body, exchange.response_body) {
        (ExpectedBody::Any, _) => return Ok(()),
        (ExpectedBody::Is(text), _) => (text, exchange.is_preparation),
        (ExpectedBody::Scripted, Some(text)) => (text, true),
        (ExpectedBody::Scripted, None) => (token, true),
    };
    let has_none = response.status == 204 || response.status == 304 || exchange.method == "HEAD";
    let is_right = response.body == expected || has_none && exchange.expected_body == ExpectedBody::Scripted;
    ensure(is_right, preparing, || format!("the body of response {number} is {:?}, not {expected:?}", response.body))
}

/// Judges what the origin got, once all responses are there.
pub(crate) fn judge_requests(exchanges: &[Exchange], responses: &[Response], seen: &[Seen]) -> Result<(), Failure> {
    let mut seen = seen.iter();
    for (index, (exchange, response)) in exchanges.iter().zip(responses).enumerate() {
        // The origin does not hear of it.
        if exchange.source != Source::Cache {
            judge_request(exchange, index + 1, response, seen.next())?;
        }
    }
    Ok(())
}

fn judge_request(exchange: &Exchange, number: usize, response: &Response, seen: Option<&Seen>) -> Result<(), Failure> {
    let preparing = exchange.is_preparation;
    let condition = match exchange.source {
        Source::CacheByTag => Some("If-None-Match"),
        Source::CacheByDate => Some("If-Modified-Since"),
        Source::Anywhere | Source::Cache | Source::Origin => None,
    };
    let needs_request = exchange.source != Source::Anywhere
        || !exchange.forwarded_fields.is_empty()
        || exchange.forwarded_method.is_some();
    let Some(seen) = seen else {
        return ensure(!needs_request, preparing, || format!("request {number} did not reach the origin"));
    };
    let is_this = exchange.source != Source::Origin || seen.number == number;
    ensure(is_this, preparing, || format!("the origin got request {} instead of {number}", seen.number))?;
    if let Some(condition) = condition {
        ensure(seen.fields.has(condition), preparing, || {
            format!("request {number} reached the origin without {condition}")
        })?;
    }
    for (name, value) in &exchange.forwarded_fields {
        let found = seen.fields.get(name);
        let is_right = found.as_deref() == Some(value);
        ensure(is_right, preparing, || {
            format!("{name} of request {number} at the origin is {found:?}, not {value:?}")
        })?;
    }
    for (name, value) in seen.checked.each() {
        let found = response.fields.get(name);
        // Who passes a response on may correct its Date.
        let is_right = name == "Date" || found.as_deref() == Some(&value);
        ensure(is_right, true, || format!("{name} of response {number} is {found:?}, and was {value:?}"))?;
    }
    let method = exchange.forwarded_method.unwrap_or(&seen.method);
    ensure(seen.method == method, preparing, || format!("request {number} reached the origin as {}", seen.method))
}
