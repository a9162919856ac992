//! What a running TCP server says of itself.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use afpa_channel::control::{Reply, Request, Sender, ask, connect_to};
use afpa_tcp_server::status::{ApplicationStatus, EngineStatus, ObjectsStatus, ReceivingThread, Status};

use super::socket_path;
use crate::args::TcpServerStatus;
use crate::config::tcp_server::Directions;
use crate::units::Size;

/// A running server's status, as a table or as JSON.
///
/// # Errors
/// Nobody answers there: a sentence.
pub fn status(args: &TcpServerStatus) -> Result<String, String> {
    let path = socket_path(args.socket.as_deref())?;
    let json = ask_status(&path)?;
    let status: Status = serde_json::from_str(&json).map_err(|error| strange(&path, &error))?;
    if args.json {
        return serde_json::to_string_pretty(&status).map(|text| text + "\n").map_err(|error| error.to_string());
    }
    Ok(table(&status))
}

/// A running server's status in JSON.
///
/// # Errors
/// Nobody answers there: a sentence.
pub fn ask_status(path: &Path) -> Result<String, String> {
    let socket = connect_to(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no TCP server is at {}; start one with: afpa tcp-server", path.display())
        }
        _ => format!("the TCP server at {} cannot be asked: {error}", path.display()),
    })?;
    match ask(socket.as_fd(), &Request::Status, &[]) {
        Ok((Reply::Status(json), _)) => Ok(json),
        Ok(_) => Err(strange(path, &"another answer")),
        Err(error) => Err(strange(path, &error)),
    }
}

fn strange(path: &Path, what: &dyn std::fmt::Display) -> String {
    format!("what answers at {} is no TCP server of this version: {what}", path.display())
}

fn table(status: &Status) -> String {
    let mut rows = vec![["engine", "connections", "load", "moved in", "moved out", "now"].map(str::to_owned)];
    rows.extend(status.engines.iter().enumerate().map(|(number, engine)| {
        let EngineStatus { connections, load, sleeping, active, moved_in, moved_out } = engine;
        let now = match (sleeping, active) {
            (true, true) => "asleep",
            (false, true) => "awake",
            (true, false) => "retired, asleep",
            (false, false) => "retired, awake",
        };
        let load = format!("{:.0}%", load * 100.0);
        [number.to_string(), connections.to_string(), load, moved_in.to_string(), moved_out.to_string(), now.to_owned()]
    }));
    let directions = match status.sender {
        Sender::Server => Directions::Both,
        Sender::Application => Directions::Receive,
    };
    let mut text = format!("offload: {directions}\n\n{}\n", aligned(&rows));
    if !status.receiving.is_empty() {
        let mut rows = vec![["kernel thread", "id", "core"].map(str::to_owned)];
        let row = |ReceivingThread { name, thread, core }: &ReceivingThread| {
            [name.clone(), thread.to_string(), core.to_string()]
        };
        rows.extend(status.receiving.iter().map(row));
        text += &(aligned(&rows) + "\n");
    }
    let heading = ["application", "user", "processes", "listening", "connections", "of slots", "registered"];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(status.applications.iter().map(|application| {
        let ApplicationStatus { name, uid, processes, listening, connections, slots, registered } = application;
        let processes: Vec<_> = processes.iter().map(i32::to_string).collect();
        [
            name.clone(),
            uid.to_string(),
            processes.join(","),
            listening.to_string(),
            connections.to_string(),
            slots.to_string(),
            registered.to_string(),
        ]
    }));
    text += &if rows.len() > 1 { aligned(&rows) } else { "no application is attached\n".to_owned() };
    if status.more > 0 {
        text += &format!("and {} more\n", status.more);
    }
    if let Some(ObjectsStatus { objects, used, capacity, evictions }) =
        status.objects.as_ref().filter(|it| it.objects > 0)
    {
        let (used, capacity) = (Size(*used), Size(*capacity));
        text += &format!("\n{objects} objects are published, in {used} of {capacity}; {evictions} had to go\n");
    }
    text
}

/// Columns as wide as their widest cell; all but the first to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") }
        });
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_table_for_each_of_its_parts() {
        let mut status = Status {
            applications: vec![ApplicationStatus {
                name: "redis-server".into(),
                uid: 999,
                processes: vec![41, 42],
                listening: 2,
                connections: 50,
                slots: 4096,
                registered: 0,
            }],
            more: 0,
            engines: vec![
                EngineStatus {
                    connections: 50,
                    load: 0.375,
                    sleeping: false,
                    active: true,
                    moved_in: 12,
                    moved_out: 0,
                },
                EngineStatus { connections: 0, load: 0.0, sleeping: true, active: false, moved_in: 0, moved_out: 12 },
            ],
            sender: Sender::Server,
            receiving: Vec::new(),
            objects: None,
        };
        let expected = "\
offload: send+receive

engine  connections  load  moved in  moved out              now
0                50   38%        12          0            awake
1                 0    0%         0         12  retired, asleep

application   user  processes  listening  connections  of slots  registered
redis-server   999      41,42          2           50      4096           0
";
        assert_eq!(table(&status), expected);
        let of = |name: &str, thread, core| ReceivingThread { name: name.into(), thread, core };
        status.receiving = vec![of("napi/eth0-8193", 141, 2), of("napi/eth0-8194", 1142, 3)];
        let expected = "
kernel thread     id  core
napi/eth0-8193   141     2
napi/eth0-8194  1142     3

application ";
        assert!(table(&status).contains(expected), "{}", table(&status));
        status.applications.clear();
        assert!(table(&status).ends_with("\nno application is attached\n"));
        status.objects = Some(ObjectsStatus { objects: 3, used: 5 << 20, capacity: 256 << 20, evictions: 1 });
        let expected = "attached\n\n3 objects are published, in 5 MiB of 256 MiB; 1 had to go\n";
        assert!(table(&status).ends_with(expected), "{}", table(&status));
    }
}
