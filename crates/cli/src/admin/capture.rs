//! Frames of the direct transport, sent as pcapng while they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout_at};

use crate::capture::pcapng;
use crate::stats::{Capture, CapturedFrame, Taken};

/// The longest body that is read.
pub(super) const MAX_BODY: usize = 4 << 10;
/// The most captures at once: each holds frames at every engine.
pub(super) const MOST: usize = 2;
/// The longest capture.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// The media type of the answer.
pub(super) const CONTENT_TYPE: &str = "application/x-pcapng";

/// How often it is looked for frames when none are waiting.
const PAUSE: Duration = Duration::from_millis(5);
/// About how many octets are sent at once, and how many such pieces wait for a slow client. Beyond that
/// frames are lost at the engines, and counted.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// What is asked for.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The most octets of a frame that are kept.
    #[serde(default = "everything")]
    snap: u32,
    /// How many frames.
    count: Option<u64>,
    /// How long.
    milliseconds: Option<u64>,
}

/// No frame is longer.
fn everything() -> u32 {
    65_535
}

impl Order {
    /// Reads a body.
    ///
    /// # Errors
    /// What the client did wrong, in a sentence.
    pub(super) fn parse(body: &[u8]) -> Result<Order, String> {
        let order: Order =
            serde_json::from_slice(body).map_err(|error| format!("the body is not a capture: {error}"))?;
        if !(14..=everything()).contains(&order.snap) {
            return Err(format!("snap: expected a number from 14 to {}, found {}", everything(), order.snap));
        }
        let most = LONGEST.as_millis() as u64;
        if let Some(found) = order.milliseconds.filter(|millis| !(1..=most).contains(millis)) {
            return Err(format!("milliseconds: expected a number from 1 to {most} (an hour), found {found}"));
        }
        if order.count == Some(0) {
            return Err("count: expected at least 1, found 0".into());
        }
        Ok(order)
    }

    /// The most octets of a frame that are kept.
    pub(super) fn snap(&self) -> usize {
        self.snap as usize
    }

    /// The file, as it grows until what was asked for is in it. `place` is given back at its end.
    pub(super) fn answer(self, capture: Box<dyn Capture>, place: OwnedSemaphorePermit) -> Body {
        let (sender, pieces) = channel(PIECES);
        tokio::spawn(async move {
            Recorder::new(self, capture).run(sender).await;
            drop(place);
        });
        Body::new(Pieces(pieces))
    }
}

struct Recorder {
    capture: Box<dyn Capture>,
    left: u64,
    until: Instant,
    reported: u64,
    piece: Vec<u8>,
    ended: bool,
}

impl Recorder {
    fn new(order: Order, capture: Box<dyn Capture>) -> Recorder {
        let mut piece = Vec::new();
        pcapng::write_section(&mut piece);
        for name in capture.interfaces() {
            pcapng::write_interface(&mut piece, &name, order.snap);
        }
        let duration = order.milliseconds.map_or(LONGEST, Duration::from_millis);
        let left = order.count.unwrap_or(u64::MAX);
        Recorder { capture, left, until: Instant::now() + duration, reported: 0, piece, ended: false }
    }

    /// Until what was asked for is sent, or the client goes away.
    async fn run(mut self, sender: Sender<Bytes>) {
        while !sender.is_closed() {
            let is_last = self.ended || self.left == 0 || Instant::now() >= self.until;
            if is_last {
                self.write_statistics();
            }
            if self.piece.is_empty() {
                sleep(PAUSE).await;
            } else {
                let piece = Bytes::from(std::mem::take(&mut self.piece));
                // A client that takes nothing does not keep the capture beyond its time.
                let patience = self.until + LONGEST / 60;
                if !matches!(timeout_at(patience, sender.send(piece)).await, Ok(Ok(()))) {
                    return;
                }
            }
            if is_last {
                return;
            }
            self.take_frames();
        }
    }

    fn take_frames(&mut self) {
        let (mut frames, mut octets) = (Vec::new(), 0);
        while octets < PIECE && (frames.len() as u64) < self.left {
            match self.capture.take() {
                Taken::Frame(frame) => {
                    octets += frame.octets.len();
                    frames.push(frame);
                }
                Taken::Nothing => break,
                Taken::End => {
                    self.ended = true;
                    break;
                }
            }
        }
        self.left -= frames.len() as u64;
        // Engines do not wait for each other: what they saw is put in the order of time.
        frames.sort_by_key(|frame: &CapturedFrame| frame.unix_nanos);
        for frame in &frames {
            let dropped = self.capture.dropped();
            pcapng::write_frame(&mut self.piece, frame, dropped.saturating_sub(self.reported));
            self.reported = dropped;
        }
    }

    fn write_statistics(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        pcapng::write_statistics(&mut self.piece, 0, now, self.capture.dropped());
    }
}

/// A body of pieces that another task makes.
struct Pieces(Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|octets| Ok(Frame::data(octets))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let order = |snap, count, milliseconds| Ok(Order { snap, count, milliseconds });
        let longest = "milliseconds: expected a number from 1 to 3600000 (an hour), found 3600001";
        let cases = [
            ("{}", order(65_535, None, None)),
            (r#"{"snap":128,"count":null,"milliseconds":5}"#, order(128, None, Some(5))),
            (r#"{"count":7}"#, order(65_535, Some(7), None)),
            (r#"{"snap":1}"#, Err("snap: expected a number from 14 to 65535, found 1".into())),
            (r#"{"count":0}"#, Err("count: expected at least 1, found 0".into())),
            (r#"{"milliseconds":3600001}"#, Err(longest.into())),
        ];
        for (body, expected) in cases {
            assert_eq!(Order::parse(body.as_bytes()), expected, "{body}");
        }
        for body in ["", "[]", r#"{"path":"/etc/passwd"}"#, r#"{"count":-1}"#] {
            assert!(Order::parse(body.as_bytes()).unwrap_err().starts_with("the body is not a capture: "), "{body}");
        }
    }
}
