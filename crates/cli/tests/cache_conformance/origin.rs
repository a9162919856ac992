//! An origin that answers as the cases have it, in octets of its own making, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{BufReader, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::case::{Exchange, Source, Value};
use crate::date::{imf_fixdate, now, rfc850};
use crate::message::{Fields, Framing, Head, octets};

/// Which request of its case this is; the client says so.
pub(crate) const NUMBER: &str = "Request-Number";
/// How many requests of the case the origin has seen, with this one.
pub(crate) const COUNT: &str = "Origin-Count";
/// The numbers of these requests.
pub(crate) const NUMBERS: &str = "Origin-Numbers";
/// The number of the request that a response answers.
pub(crate) const ANSWERED: &str = "Answered-Number";
/// The origin's clock, in milliseconds since 1970.
pub(crate) const CLOCK: &str = "Origin-Clock";
/// Instead of the 304 that a conditional request would have got: it was not, or asked for something else.
pub(crate) const NOT_VALIDATED: u16 = 999;

/// A request that arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) number: usize,
    pub(crate) method: String,
    pub(crate) fields: Fields,
    /// The fields of the answer that must arrive.
    pub(crate) checked: Fields,
}

pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
}

/// A case under way.
struct Script {
    exchanges: Vec<Exchange>,
    seen: Vec<Seen>,
    /// The fields that were sent for an exchange; dates stay what they were the first time.
    sent: HashMap<usize, Vec<(String, String)>>,
}

impl Origin {
    /// Listens until the process ends.
    pub(crate) fn start(address: SocketAddr) -> Origin {
        let listener = TcpListener::bind(address).unwrap();
        let origin = Origin { address: listener.local_addr().unwrap(), scripts: Arc::default() };
        let scripts = Arc::clone(&origin.scripts);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let scripts = Arc::clone(&scripts);
                // A peer that misbehaves is found out by what the cases see of it.
                thread::spawn(move || drop(converse(&stream, &scripts)));
            }
        });
        origin
    }

    /// Answers requests below `/TOKEN` as the exchanges have it.
    pub(crate) fn learn(&self, token: &str, exchanges: &[Exchange]) {
        let script = Script { exchanges: exchanges.to_vec(), seen: Vec::new(), sent: HashMap::new() };
        self.scripts.lock().unwrap().insert(token.to_owned(), script);
    }

    pub(crate) fn seen(&self, token: &str) -> Vec<Seen> {
        self.scripts.lock().unwrap()[token].seen.clone()
    }
}

fn converse(stream: &TcpStream, scripts: &Mutex<HashMap<String, Script>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = Head::read(&mut reader)? {
        match head.framing()? {
            Framing::None => {}
            framing => drop(framing.read(&mut reader)?),
        }
        let request = Request::of(&head);
        let Some(exchange) = request.exchange(scripts) else {
            let refusal = "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return (&*stream).write_all(refusal.as_bytes());
        };
        thread::sleep(Duration::from_secs(exchange.hesitation));
        // Those who speak HTTP/1.0 know no interim responses (RFC 9110 §15.2).
        if !head.start.ends_with("HTTP/1.0") {
            for (status, fields) in &exchange.interim {
                (&*stream).write_all(&interim(*status, fields))?;
            }
        }
        let answer = scripts.lock().unwrap().get_mut(&request.token).unwrap().answer(&request, &exchange);
        if exchange.is_cut_off {
            return stream.shutdown(Shutdown::Both);
        }
        (&*stream).write_all(&answer.octets)?;
        if answer.is_last {
            return Ok(());
        }
    }
    Ok(())
}

fn interim(status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut message = format!("HTTP/1.1 {status} Interim\r\n").into_bytes();
    let mut lines = Fields::default();
    fields.iter().for_each(|(name, value)| lines.push(*name, *value));
    lines.write(&mut message);
    message
}

struct Request {
    method: String,
    target: String,
    token: String,
    number: Option<usize>,
    fields: Fields,
    is_last: bool,
}

impl Request {
    fn of(head: &Head) -> Request {
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let token = target.split(['/', '?']).nth(1).unwrap_or_default().to_owned();
        let number = head.fields.number(NUMBER).and_then(|number| usize::try_from(number).ok());
        Request { method, target, token, number, fields: head.fields.clone(), is_last: head.is_last() }
    }

    fn exchange(&self, scripts: &Mutex<HashMap<String, Script>>) -> Option<Exchange> {
        let scripts = scripts.lock().unwrap();
        let script = scripts.get(&self.token)?;
        script.exchanges.get(script.number(self).checked_sub(1)?).cloned()
    }
}

struct Answer {
    octets: Vec<u8>,
    is_last: bool,
}

impl Script {
    /// The number of a request; without one, it is taken for the next.
    fn number(&self, request: &Request) -> usize {
        request.number.unwrap_or(self.seen.len() + 1)
    }

    /// Writes the answer, and remembers the request.
    fn answer(&mut self, request: &Request, exchange: &Exchange) -> Answer {
        let number = self.number(request);
        let clock = now();
        let (status, reason) = self.status(request, exchange, number);
        let resolve = |value: &Value| resolve_for_origin(value, clock, &request.target);
        let lines = self.sent.entry(number).or_insert_with(|| {
            exchange.response_fields.iter().map(|sent| (sent.name.clone(), resolve(&sent.value))).collect()
        });
        let (mut fields, mut checked) = (Fields::default(), Fields::default());
        for ((name, value), sent) in lines.iter().zip(&exchange.response_fields) {
            fields.push(name, value);
            if sent.is_checked {
                checked.push(name, value);
            }
        }
        let Request { method, fields: asked, .. } = request;
        self.seen.push(Seen { number, method: method.clone(), fields: asked.clone(), checked });
        fields.push(COUNT, self.seen.len().to_string());
        fields.push(ANSWERED, number.to_string());
        let numbers: Vec<_> = self.seen.iter().map(|seen| seen.number.to_string()).collect();
        fields.push(NUMBERS, numbers.join(" "));
        fields.push(CLOCK, clock.to_string());
        let body = exchange.response_body.unwrap_or(&request.token);
        let is_last = complete(&mut fields, clock, status, request, body);
        let mut message: Vec<u8> = octets(&format!("HTTP/1.1 {status} {reason}\r\n")).collect();
        fields.write(&mut message);
        if has_body(status, request) {
            message.extend(octets(body));
        }
        Answer { octets: message, is_last }
    }

    fn status(&self, request: &Request, exchange: &Exchange, number: usize) -> (u16, &'static str) {
        let conditional = match exchange.source {
            Source::CacheByTag | Source::CacheByDate => true,
            Source::Anywhere | Source::Cache | Source::Origin => false,
        };
        if !conditional {
            return exchange.status.unwrap_or((200, "OK"));
        }
        let matches = |validator: &str, condition: &str| {
            let value = self.sent_before(number, validator)?;
            (request.fields.get(condition) == Some(value)).then_some(())
        };
        let is_match = matches("ETag", "If-None-Match").or_else(|| matches("Last-Modified", "If-Modified-Since"));
        if is_match.is_some() { (304, "Not Modified") } else { (NOT_VALIDATED, "Not Validated") }
    }

    /// The value of a field in the response before the one of this number. One that nobody fetched counts as well, if
    /// its script says what the value would have been.
    fn sent_before(&self, number: usize, name: &str) -> Option<String> {
        let previous = number.checked_sub(1)?;
        if let Some(sent) = self.sent.get(&previous) {
            return sent.iter().rfind(|(other, _)| other == name).map(|(_, value)| value.clone());
        }
        let scripted = &self.exchanges.get(previous.checked_sub(1)?)?.response_fields;
        match &scripted.iter().rfind(|sent| sent.name == name)?.value {
            Value::Text(text) => Some(text.clone()),
            Value::At(_) | Value::AtInRfc850(_) | Value::Here(_) => None,
        }
    }
}

fn has_body(status: u16, request: &Request) -> bool {
    status != 204 && status != 304 && request.method != "HEAD"
}

/// Adds what every response has, unless the case says otherwise. Returns whether the connection ends with it.
fn complete(fields: &mut Fields, clock: i64, status: u16, request: &Request, body: &str) -> bool {
    if !fields.has("Date") {
        fields.push("Date", imf_fixdate(clock));
    }
    if !fields.has("Content-Type") {
        fields.push("Content-Type", "text/plain");
    }
    let is_framed = fields.has("Content-Length") || !has_body(status, request);
    let is_garbled = fields.has("Transfer-Encoding");
    if !is_framed && !is_garbled {
        fields.push("Content-Length", body.len().to_string());
    }
    // A transfer coding that nobody knows: the end of the connection is that of the body (RFC 9112 §6.3).
    let is_last = request.is_last || is_garbled;
    if is_last && !fields.has("Connection") {
        fields.push("Connection", "close");
    }
    is_last
}

fn resolve_for_origin(value: &Value, clock: i64, target: &str) -> String {
    match value {
        Value::Here(suffix) => format!("{target}{suffix}"),
        other => resolve(other, clock),
    }
}

/// A value, as of a clock.
pub(crate) fn resolve(value: &Value, clock: i64) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::At(seconds) => imf_fixdate(clock + seconds * 1000),
        Value::AtInRfc850(seconds) => rfc850(clock + seconds * 1000),
        Value::Here(suffix) => (*suffix).to_owned(),
    }
}
