//! *Tunnel*: after 101, octets go both ways, whatever they mean (RFC 9110 §7.8).

use std::time::Duration;

use afpa_engine::send_engine::send_engine;
use afpa_engine::{Context, Outcome, Wake};

use crate::fetch::flight::{End, Next};
use crate::module::Http;
use crate::table::{BLOCKED, CUT_OFF, LAST, PENDING, SENT};

/// A tunnel in which nothing moves for so long is taken down.
const SILENCE: Duration = Duration::from_secs(3600);

/// The client's side: what it sends goes into the upload, what the flight brings goes to it. Each half ends by itself.
pub fn tunnel(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.wake == Wake::Expired {
        return CUT_OFF;
    }
    cx.arm_after(SILENCE);
    send_up(cx);
    let outcome = send_down(cx);
    if outcome != PENDING && cx.request.status != 0 {
        super::complete_request::count(cx);
    }
    outcome
}

fn send_up(cx: &mut Context<'_, Http>) {
    let Some(upload) = cx.request.remote.as_ref().and_then(|remote| remote.upload.clone()) else { return };
    if upload.borrow().is_finished() || !upload.borrow().has_room() {
        return;
    }
    let unread = cx.input.unread();
    upload.borrow_mut().push(unread, &mut cx.desk());
    if cx.input.is_present() {
        cx.input.consume(unread.len());
        if cx.finished() {
            upload.borrow_mut().finish(&mut cx.desk());
        }
    }
}

fn send_down(cx: &mut Context<'_, Http>) -> Outcome {
    let Some(engine) = cx.global.relaying.as_ref().map(|relaying| relaying.shared.borrow().engine) else {
        return CUT_OFF;
    };
    loop {
        if cx.output.is_sending() {
            match send_engine(cx, SENT, BLOCKED, CUT_OFF) {
                BLOCKED => return PENDING,
                CUT_OFF => return CUT_OFF,
                _ => {}
            }
        }
        let Some(remote) = &mut cx.request.remote else { return LAST };
        if remote.is_over {
            let is_done = remote.upload.as_ref().is_none_or(|upload| upload.borrow().is_finished());
            return if is_done { LAST } else { PENDING };
        }
        let (flight, reader) = (remote.flight.clone(), remote.reader);
        match flight.next(reader, &mut cx.desk(), engine) {
            Next::Wait => return PENDING,
            Next::Chunk(octets) => {
                cx.request.payload += octets.len() as u64;
                cx.output.respond_shared(octets);
            }
            Next::End(End::Complete(_)) => {
                if let Some(remote) = &mut cx.request.remote {
                    remote.is_over = true;
                }
                cx.output.finish();
            }
            Next::End(_) => return CUT_OFF,
            Next::Interim(_) | Next::Head(_) => {}
        }
    }
}
