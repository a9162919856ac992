//! Parses typical request heads many times over and prints what one costs. Its instructions repeat
//! exactly, so a profiler such as callgrind can compare two versions.

use std::hint::black_box;
use std::time::Instant;

use afpa_http::syntax::{Limits, Progress, RequestParser};

const ROUNDS: u32 = 100_000;

const REQUESTS: &[(&str, &str)] = &[
    ("load generator", "GET /1024.html HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n"),
    (
        "browser",
        "GET /assets/site.css?v=12 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; \
         rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/css,*/*;q=0.1\r\nAccept-Language: en-GB,en;q=0.7\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.org/a/b.html\r\nDNT: 1\r\n\
         Connection: keep-alive\r\nSec-Fetch-Dest: style\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n\
         Priority: u=2\r\n\r\n",
    ),
];

fn main() {
    let limits = Limits::default();
    let mut scratch = Vec::new();
    for (name, request) in REQUESTS {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let input = black_box(request.as_bytes());
            let mut parser = RequestParser::default();
            assert_eq!(parser.advance(input, &limits), Ok(Progress::Complete(request.len())));
            black_box(parser.head().path(input, &mut scratch).is_ok());
            black_box(parser.head().accepts());
        }
        println!("{name}: {} octets, {} ns", request.len(), start.elapsed().as_nanos() / u128::from(ROUNDS));
    }
}
