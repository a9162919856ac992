//! Records the frames of a running server's direct transport: asks its admin server for them, and writes
//! what comes.

pub mod pcapng;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tokio::time::timeout;

use crate::answer::{Answer, PATIENCE, connect};
use crate::args::Capture;
use pcapng::{Blocks, Kind};

/// Captures as the command line says. Returns what there is to say at the end.
///
/// # Errors
/// The server cannot be reached, refuses, or goes away; or the file cannot be written: a sentence.
pub fn execute(capture: &Capture) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the capture cannot be set up: {error}"))?;
    runtime.block_on(run(capture))
}

async fn run(capture: &Capture) -> Result<String, String> {
    let admin = capture.admin;
    let stream = connect(admin).await?;
    let mut answer = Answer::new(stream, request(capture)).await.map_err(|error| unreachable(capture, &error))?;
    let begun = timeout(PATIENCE, answer.head()).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    if let Some(refusal) = begun.map_err(|error| unreachable(capture, &error))? {
        return Err(refusal);
    }
    // Not before: a refusal leaves a file that is there as it is.
    let mut recording = Recording::create(&capture.file)?;
    loop {
        recording.take(&answer.octets)?;
        if recording.is_complete {
            return Ok(recording.summary());
        }
        answer.octets.clear();
        tokio::select! {
            more = answer.read() => match more {
                Ok(0) => return Err(format!("the server ended while it was captured; {}", recording.summary())),
                Ok(_) => {}
                Err(error) => return Err(unreachable(capture, &error)),
            },
            _ = tokio::signal::ctrl_c() => return Ok(recording.summary()),
        }
    }
}

fn unreachable(capture: &Capture, error: &io::Error) -> String {
    format!("the admin server at {} does not answer: {error}", capture.admin)
}

/// HTTP/1.0, so that the answer ends with the connection and its octets come as they are.
fn request(capture: &Capture) -> String {
    let Capture { admin, count, duration, snap, .. } = capture;
    let milliseconds = u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX);
    let body = serde_json::json!({ "snap": snap, "count": count, "milliseconds": milliseconds }).to_string();
    format!(
        "POST /api/capture HTTP/1.0\r\nHost: {admin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The file, which has only whole blocks.
struct Recording {
    out: BufWriter<Box<dyn Write>>,
    name: String,
    blocks: Blocks,
    frames: u64,
    lost: u64,
    /// Whether the server has sent all that it was asked for.
    is_complete: bool,
}

impl Recording {
    fn create(path: &Path) -> Result<Recording, String> {
        let is_stdout = path == Path::new("-");
        let out: Box<dyn Write> = match is_stdout {
            true => Box::new(io::stdout()),
            false => {
                Box::new(File::create(path).map_err(|error| format!("{} cannot be written: {error}", path.display()))?)
            }
        };
        let name = if is_stdout { "standard output".into() } else { path.display().to_string() };
        let out = BufWriter::with_capacity(256 << 10, out);
        Ok(Recording { out, name, blocks: Blocks::default(), frames: 0, lost: 0, is_complete: false })
    }

    fn take(&mut self, octets: &[u8]) -> Result<(), String> {
        self.blocks.push(octets);
        let failed = |name: &str, error: io::Error| format!("{name} cannot be written: {error}");
        while let Some(block) = self.blocks.next_block().map_err(|error| error.to_string())? {
            self.out.write_all(block.octets).map_err(|error| failed(&self.name, error))?;
            match block.kind {
                Kind::Frame { dropped } => {
                    self.frames += 1;
                    self.lost = self.lost.saturating_add(dropped);
                }
                Kind::Statistics { dropped } => {
                    self.lost = dropped;
                    self.is_complete = true;
                }
                Kind::Other => {}
            }
        }
        // A reader behind a pipe sees frames when they come.
        self.out.flush().map_err(|error| failed(&self.name, error))
    }

    fn summary(&self) -> String {
        let frames = if self.frames == 1 { "frame" } else { "frames" };
        format!("{} {frames} in {}, {} lost", self.frames, self.name, self.lost)
    }
}
