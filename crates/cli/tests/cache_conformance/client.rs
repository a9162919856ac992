//! A client that takes responses as they come: each field line, interim responses, the octets of the body.

use std::io::{BufReader, Error, ErrorKind, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::case::{Exchange, Value};
use crate::message::{Fields, Framing, Head, octets};
use crate::origin::{CLOCK, NUMBER, resolve};

/// How long an answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Response {
    pub(crate) interim: Vec<(u16, Fields)>,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: String,
}

/// Sends the request of an exchange, on a connection of its own. `previous` is the response before it.
pub(crate) fn ask(
    proxy: SocketAddr,
    token: &str,
    number: usize,
    exchange: &Exchange,
    previous: Option<&Response>,
) -> Result<Response> {
    let stream = TcpStream::connect_timeout(&proxy, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    (&stream).write_all(&request(proxy, token, number, exchange, previous)?)?;
    let mut reader = BufReader::new(&stream);
    let mut interim = Vec::new();
    loop {
        let head = Head::read(&mut reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        let status = head.start.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.ok_or_else(|| Error::other(format!("no status: {:?}", head.start)))?;
        if status < 200 {
            interim.push((status, head.fields));
            continue;
        }
        let is_empty = exchange.method == "HEAD" || status == 204 || status == 304;
        let framing = if is_empty { Framing::Length(0) } else { head.framing()? };
        let body = framing.read(&mut reader)?.into_iter().map(char::from).collect();
        return Ok(Response { interim, status, fields: head.fields, body });
    }
}

fn request(
    proxy: SocketAddr,
    token: &str,
    number: usize,
    exchange: &Exchange,
    previous: Option<&Response>,
) -> Result<Vec<u8>> {
    let mut fields = Fields::default();
    fields.push("Host", proxy.to_string());
    fields.push(NUMBER, number.to_string());
    // Both have a member that no cache knows, and that it must not mind.
    let [mut pragma, mut directives] = ["unheard-of"; 2].map(str::to_owned);
    for (name, value) in &exchange.request_fields {
        let clock = previous.and_then(|response| response.fields.number(CLOCK));
        let value = match (value, clock) {
            (Value::At(_) | Value::AtInRfc850(_), None) => return Err(Error::other("nothing says the origin's time")),
            (value, clock) => resolve(value, clock.unwrap_or_default()),
        };
        match *name {
            "Pragma" => pragma = format!("{pragma}, {value}"),
            "Cache-Control" => directives = format!("{directives}, {value}"),
            name => fields.push(name, value),
        }
    }
    fields.push("Pragma", pragma);
    fields.push("Cache-Control", directives);
    if let Some(body) = exchange.request_body {
        if !fields.has("Content-Type") {
            fields.push("Content-Type", "text/plain;charset=UTF-8");
        }
        fields.push("Content-Length", body.len().to_string());
    }
    let mut message = format!("{} /{token}{} HTTP/1.1\r\n", exchange.method, exchange.suffix).into_bytes();
    fields.write(&mut message);
    message.extend(octets(exchange.request_body.unwrap_or_default()));
    Ok(message)
}
