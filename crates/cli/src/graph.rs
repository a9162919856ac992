//! A control table as a picture: text, Mermaid or Graphviz.

use std::fmt::Write;

use afpa_engine::{Next, ProtocolModule};
use serde::Serialize;

/// A control table as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The module's name.
    pub module: String,
    /// Where a new connection starts.
    pub start: String,
    /// Every state, by number.
    pub states: Vec<String>,
    /// Every row, as the module wrote them.
    pub edges: Vec<Edge>,
}

/// One row: in `from`, on `outcome`, `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The state whose function returned.
    pub from: String,
    /// What it returned.
    pub outcome: String,
    /// What follows.
    #[serde(flatten)]
    pub to: To,
}

/// What follows an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "next", content = "to", rename_all = "lowercase")]
pub enum To {
    /// This state, now.
    Run(String),
    /// This state, at the connection's next event.
    Wait(String),
    /// What is queued is sent, then the connection closed.
    Close,
    /// The connection is reset.
    Abort,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For reading in a terminal
    Text,
    /// A Mermaid state diagram, as many Markdown viewers draw it
    Mermaid,
    /// For Graphviz: afpa graph http --format dot | dot -Tsvg
    Dot,
}

impl Graph {
    /// The control tables of all modules that a server may have.
    pub fn all() -> [Graph; 5] {
        [
            Graph::of::<afpa_http::Http>(),
            Graph::of::<afpa_http::fetch::Fetch>(),
            Graph::of::<afpa_dns::Dns>(),
            Graph::of::<afpa_dns::Fetch>(),
            Graph::of::<afpa_tcp_server::SocketProvider>(),
        ]
    }

    /// The control table of a module.
    pub fn of<M: ProtocolModule>() -> Graph {
        let name = |state: afpa_engine::State| state.name.to_owned();
        let edges = M::TABLE.rows().iter().map(|row| Edge {
            from: name(row.state),
            outcome: row.outcome.name.to_owned(),
            to: match row.next {
                Next::Run(state) => To::Run(name(state)),
                Next::Wait(state) => To::Wait(name(state)),
                Next::Close => To::Close,
                Next::Abort => To::Abort,
            },
        });
        Graph {
            module: M::NAME.to_owned(),
            start: name(M::TABLE.start()),
            states: M::TABLE.functions().iter().map(|function| name(function.state)).collect(),
            edges: edges.collect(),
        }
    }

    /// Writes the graph, with a final newline.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Mermaid => self.mermaid(),
            Format::Dot => self.dot(),
        }
    }

    fn text(&self) -> String {
        let mut out = format!("{}: starts in {}\n", self.module, self.start);
        let widest = self.edges.iter().map(|edge| edge.outcome.chars().count()).max().unwrap_or(0);
        for state in &self.states {
            line(&mut out, format_args!("\n{state}"));
            for edge in self.edges.iter().filter(|edge| edge.from == *state) {
                let to = match &edge.to {
                    To::Run(state) => state.clone(),
                    To::Wait(state) => format!("{state}, at the next event"),
                    To::Close => "close".into(),
                    To::Abort => "abort".into(),
                };
                line(&mut out, format_args!("  {:widest$} -> {to}", edge.outcome));
            }
        }
        out
    }

    fn mermaid(&self) -> String {
        let mut out = "stateDiagram-v2\n".to_owned();
        for state in &self.states {
            line(&mut out, format_args!("    state {} as {}", quote(state), identifier(state)));
        }
        line(&mut out, format_args!("    [*] --> {}", identifier(&self.start)));
        for edge in &self.edges {
            let (to, note) = match &edge.to {
                To::Run(state) => (identifier(state), ""),
                To::Wait(state) => (identifier(state), " (next event)"),
                To::Close => ("[*]".into(), " (close)"),
                To::Abort => ("[*]".into(), " (abort)"),
            };
            line(&mut out, format_args!("    {} --> {to}: {}{note}", identifier(&edge.from), edge.outcome));
        }
        out
    }

    fn dot(&self) -> String {
        let mut out = format!("digraph {} {{\n    node [shape=box, style=rounded];\n", quote(&self.module));
        line(&mut out, format_args!("    start [shape=point];\n    start -> {};", quote(&self.start)));
        for (name, follows) in [("close", To::Close), ("abort", To::Abort)] {
            if self.edges.iter().any(|edge| edge.to == follows) {
                line(&mut out, format_args!("    {name} [shape=plaintext];"));
            }
        }
        for edge in &self.edges {
            let (to, style) = match &edge.to {
                To::Run(state) => (quote(state), ""),
                To::Wait(state) => (quote(state), ", style=dashed"),
                To::Close => ("close".into(), ""),
                To::Abort => ("abort".into(), ""),
            };
            line(&mut out, format_args!("    {} -> {to} [label={}{style}];", quote(&edge.from), quote(&edge.outcome)));
        }
        out.push_str("}\n");
        out
    }
}

fn line(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{what}");
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finger() -> Graph {
        let edge = |from: &str, outcome: &str, to| Edge { from: from.into(), outcome: outcome.into(), to };
        Graph {
            module: "finger".into(),
            start: "derive request".into(),
            states: vec!["derive request".into(), "send engine".into()],
            edges: vec![
                edge("derive request", "incomplete", To::Wait("derive request".into())),
                edge("derive request", "complete", To::Run("send engine".into())),
                edge("derive request", "too long", To::Abort),
                edge("send engine", "sent", To::Close),
            ],
        }
    }

    #[test]
    fn json() {
        let graph = serde_json::to_value(finger()).unwrap();
        let expected = serde_json::json!([
            { "from": "derive request", "outcome": "incomplete", "next": "wait", "to": "derive request" },
            { "from": "derive request", "outcome": "complete", "next": "run", "to": "send engine" },
            { "from": "derive request", "outcome": "too long", "next": "abort" },
            { "from": "send engine", "outcome": "sent", "next": "close" },
        ]);
        assert_eq!((&graph["start"], &graph["edges"]), (&"derive request".into(), &expected));
        let names = Graph::all().map(|graph| graph.module);
        assert_eq!(names, ["http", "http-upstream", "dns", "dns-upstream", "socket-provider"]);
    }

    #[test]
    fn text() {
        let expected = "\
finger: starts in derive request

derive request
  incomplete -> derive request, at the next event
  complete   -> send engine
  too long   -> abort

send engine
  sent       -> close
";
        assert_eq!(finger().render(Format::Text), expected);
    }

    #[test]
    fn mermaid() {
        let expected = "\
stateDiagram-v2
    state \"derive request\" as derive_request
    state \"send engine\" as send_engine
    [*] --> derive_request
    derive_request --> derive_request: incomplete (next event)
    derive_request --> send_engine: complete
    derive_request --> [*]: too long (abort)
    send_engine --> [*]: sent (close)
";
        assert_eq!(finger().render(Format::Mermaid), expected);
    }

    #[test]
    fn dot() {
        let expected = "\
digraph \"finger\" {
    node [shape=box, style=rounded];
    start [shape=point];
    start -> \"derive request\";
    close [shape=plaintext];
    abort [shape=plaintext];
    \"derive request\" -> \"derive request\" [label=\"incomplete\", style=dashed];
    \"derive request\" -> \"send engine\" [label=\"complete\"];
    \"derive request\" -> abort [label=\"too long\"];
    \"send engine\" -> close [label=\"sent\"];
}
";
        assert_eq!(finger().render(Format::Dot), expected);
    }
}
