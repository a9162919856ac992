//! Two samples as lines of text.

use super::numbers::{duration, name, octets, percent, short, span};
use super::rates::{Rates, sum};
use super::sample::{Backend, Sample};

/// Rows of each table, at most.
const MOST_BACKENDS: usize = 32;
const MOST_CLASSES: usize = 16;
const MOST_KEYS: usize = 10;
const MOST_TRANSITIONS: usize = 12;
/// Columns of a name, at most.
const LONGEST_NAME: usize = 24;
const LONGEST_KEY: usize = 60;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without an end, without anything that steers a terminal.
    pub text: String,
    /// Whether it names the columns below it.
    pub is_heading: bool,
}

impl Line {
    fn plain(text: String) -> Line {
        Line { text, is_heading: false }
    }

    /// As much of it as `width` columns hold.
    pub fn cut(&self, width: usize) -> &str {
        self.text.char_indices().nth(width).map_or(&*self.text, |(end, _)| &self.text[..end])
    }
}

/// What happened between two samples, `seconds` apart.
pub fn lines(before: &Sample, after: &Sample, seconds: f64) -> Vec<Line> {
    let rates = Rates::between(before, after, seconds);
    let mut lines: Vec<_> = header(&rates, after).into_iter().map(Line::plain).collect();
    for table in [pools(&rates, after), classes(&rates, after), keys(&rates, after), transitions(&rates)] {
        lines.extend(table.into_lines());
    }
    lines
}

fn header(rates: &Rates<'_>, after: &Sample) -> [String; 3] {
    let engines = if after.engines.len() == 1 { "engine" } else { "engines" };
    let draining = if after.draining { "  draining" } else { "" };
    let version = name(&after.version, LONGEST_NAME);
    let quantile = |share| rates.quantile(share).map_or("–".into(), |nanos| duration(nanos as f64));
    [
        format!("afpa {version}  up {}  {} {engines}{draining}", span(after.uptime_seconds), after.engines.len()),
        format!(
            "requests {}/s  hits {}  p50 {}  p99 {}",
            short(rates.requests()),
            rates.hit_ratio().map_or("–".into(), percent),
            quantile(0.5),
            quantile(0.99),
        ),
        format!(
            "connections {} ({} new/s)  sent {}/s  received {}/s",
            short(sum(after, |engine| engine.connections) as f64),
            short(rates.of_engines(|engine| engine.connected)),
            octets(rates.of_engines(|engine| engine.sent_octets)),
            octets(rates.of_engines(|engine| engine.received_octets)),
        ),
    ]
}

fn pools(rates: &Rates<'_>, after: &Sample) -> Table {
    let columns = [
        "pool",
        "backend",
        "state",
        "active",
        "requests/s",
        "failures/s",
        "latency",
        "sent/s",
        "received/s",
        "waiting",
    ];
    let mut table = Table::new(&columns, 3);
    for pool in &after.pools {
        for backend in &pool.backends {
            let before = rates.backend_before(&pool.name, &backend.name);
            let rate = |field: fn(&Backend) -> u64| rates.rate(field(&before), field(backend));
            let latency = backend.latency_us.filter(|micros| *micros > 0.0);
            table.rows.push(vec![
                name(&pool.name, LONGEST_NAME),
                name(&backend.name, LONGEST_NAME),
                health(backend).to_owned(),
                short(backend.active as f64),
                short(rate(|b| b.requests)),
                short(rate(|b| b.failures)),
                latency.map_or("–".into(), |micros| duration(micros * 1000.0)),
                octets(rate(|b| b.sent_octets)),
                octets(rate(|b| b.received_octets)),
                short(pool.waiting as f64),
            ]);
        }
    }
    table.at_most(MOST_BACKENDS)
}

fn health(backend: &Backend) -> &'static str {
    match backend {
        Backend { healthy: false, .. } => "DOWN",
        Backend { ejected: true, .. } => "EJECTED",
        Backend { draining: true, .. } => "draining",
        _ => "healthy",
    }
}

fn classes(rates: &Rates<'_>, after: &Sample) -> Table {
    let columns = ["class", "priority", "weight", "requests/s", "refused/s", "waiting", "running"];
    let mut table = Table::new(&columns, 1);
    for class in &after.classes {
        let before = rates.class_before(&class.name);
        table.rows.push(vec![
            name(&class.name, LONGEST_NAME),
            short(class.priority),
            short(class.weight),
            short(rates.rate(before.requests, class.requests)),
            short(rates.rate(before.refused, class.refused)),
            short(class.waiting as f64),
            short(class.running as f64),
        ]);
    }
    table.at_most(MOST_CLASSES)
}

fn keys(rates: &Rates<'_>, after: &Sample) -> Table {
    let mut table = Table::new(&["key", "requests/s", "in all"], 1);
    for key in &after.top_keys {
        let rate = rates.of_key(&key.key, key.requests).map_or("–".into(), short);
        table.rows.push(vec![name(&key.key, LONGEST_KEY), rate, short(key.requests as f64)]);
    }
    table.at_most(MOST_KEYS)
}

fn transitions(rates: &Rates<'_>) -> Table {
    let mut table = Table::new(&["module", "state", "outcome", "transitions/s"], 3);
    for (module, state, outcome, rate) in rates.transitions() {
        let [module, state, outcome] = [module, state, outcome].map(|text| name(text, LONGEST_NAME));
        table.rows.push(vec![module, state, outcome, short(rate)]);
    }
    table.at_most(MOST_TRANSITIONS)
}

/// Columns of text at the left, columns of numbers at the right.
struct Table {
    columns: Vec<String>,
    /// How many columns are text.
    texts: usize,
    rows: Vec<Vec<String>>,
    /// Rows that are not shown.
    left_out: usize,
}

impl Table {
    fn new(columns: &[&str], texts: usize) -> Table {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        Table { columns, texts, rows: Vec::new(), left_out: 0 }
    }

    fn at_most(mut self, most: usize) -> Table {
        self.left_out = self.rows.len().saturating_sub(most);
        self.rows.truncate(most);
        self
    }

    /// An empty line, the heading, the rows; nothing without rows.
    fn into_lines(self) -> Vec<Line> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let all = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let mut lines = vec![Line::plain(String::new())];
        for (number, row) in all().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (text, &width))| {
                if column < self.texts { format!("{text:<width$}") } else { format!("{text:>width$}") }
            });
            let text = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
            lines.push(Line { text, is_heading: number == 0 });
        }
        if self.left_out > 0 {
            lines.push(Line::plain(format!("and {} more", self.left_out)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(json: &str) -> Sample {
        serde_json::from_str(json).unwrap()
    }

    fn text(before: &Sample, after: &Sample, seconds: f64) -> String {
        lines(before, after, seconds).into_iter().map(|line| line.text + "\n").collect()
    }

    #[test]
    fn a_server_of_files() {
        let before = sample(
            r#"{"version":"1.2.3","uptime_seconds":60,"engines":[{"core":0,"connected":10,"latency":{"sum_nanos":1,
            "buckets":[[1000,5]]},"cache":[{"outcome":"hit","count":5}],"transitions":[{"module":"http",
            "state":"send engine","outcome":"sent","count":5}],"dns":null}]}"#,
        );
        let after = sample(
            r#"{"version":"1.2.3","uptime_seconds":62,"draining":true,"unknown":[1],"engines":[{"core":0,"connections":3,
            "connected":30,"sent_octets":4000000,"received_octets":24,"latency":{"buckets":[[1000,195],[2500000,10]]},
            "cache":[{"outcome":"hit","count":155},{"outcome":"miss","count":50},{"outcome":"none","count":9}],
            "transitions":[{"module":"http","state":"send engine","outcome":"sent","count":205},
            {"module":"http","state":"derive request","outcome":"complete","count":400},
            {"module":"http","state":"linger","outcome":"last","count":0}]}]}"#,
        );
        let expected = "\
afpa 1.2.3  up 1 min 2 s  1 engine  draining
requests 100/s  hits 75.0 %  p50 1 µs  p99 2.50 ms
connections 3 (10 new/s)  sent 2.00 MB/s  received 12 B/s

module  state           outcome   transitions/s
http    derive request  complete            200
http    send engine     sent                100
";
        assert_eq!(text(&before, &after, 2.0), expected);
    }

    #[test]
    fn an_accelerator() {
        let before = sample(
            r#"{"pools":[{"name":"app","backends":[{"name":"a","requests":100}]}],
            "classes":[{"name":"interactive","requests":50}],"top_keys":[{"key":"/b","requests":1}]}"#,
        );
        let after = sample(
            r#"{"version":"1.2.3","pools":[{"name":"app","waiting":2,"backends":[
            {"name":"a","address":"127.0.0.1:1","healthy":true,"active":4,"requests":300,"failures":2,"sent_octets":20000,
             "received_octets":2000000,"latency_us":850,"weight":1.5},
            {"name":"b","healthy":false},{"name":"c","healthy":true,"ejected":true},
            {"name":"d","healthy":true,"draining":true}]}],
            "classes":[{"name":"interactive","priority":1,"weight":2,"requests":250,"refused":10,"waiting":1,"running":3}],
            "top_keys":[{"key":"/a\u001b[31m","requests":900},{"key":"/b","requests":101}]}"#,
        );
        let expected = "\
afpa 1.2.3  up 0 s  0 engines
requests 0/s  hits –  p50 –  p99 –
connections 0 (0 new/s)  sent 0 B/s  received 0 B/s

pool  backend  state     active  requests/s  failures/s  latency   sent/s  received/s  waiting
app   a        healthy        4         200           2   850 µs  20.0 kB     2.00 MB        2
app   b        DOWN           0           0           0        –      0 B         0 B        2
app   c        EJECTED        0           0           0        –      0 B         0 B        2
app   d        draining       0           0           0        –      0 B         0 B        2

class        priority  weight  requests/s  refused/s  waiting  running
interactive         1       2         200         10        1        3

key           requests/s  in all
/a\\u{1b}[31m           –     900
/b                   100     101
";
        assert_eq!(text(&before, &after, 1.0), expected);
    }

    #[test]
    fn long_tables_end_with_how_many_are_left_out_and_lines_are_cut_between_characters() {
        let keys: Vec<_> =
            (0..20).map(|n| super::super::sample::Key { key: format!("/{n}"), requests: 20 - n }).collect();
        let after = Sample { top_keys: keys, ..Sample::default() };
        let lines = lines(&Sample::default(), &after, 1.0);
        assert_eq!(lines.last().unwrap().text, "and 10 more");
        let line = Line::plain("p50 12 µs".into());
        let cuts = [0, 7, 8, 9, 100].map(|width| line.cut(width));
        assert_eq!(cuts, ["", "p50 12 ", "p50 12 µ", "p50 12 µs", "p50 12 µs"]);
    }

    #[test]
    fn a_server_that_began_again_or_no_time_between_makes_no_nonsense() {
        let before = sample(r#"{"engines":[{"connected":100,"latency":{"buckets":[[5,100]]}}]}"#);
        let after = sample(r#"{"engines":[{"connected":1,"latency":{"buckets":[[5,1]]}}]}"#);
        for seconds in [0.0, 1.0] {
            assert!(text(&before, &after, seconds).contains("requests 0/s  hits –  p50 –"));
        }
    }
}
