//! Reads a request's body and hands it to the backend's connection.

use std::time::Duration;

use afpa_engine::Context;

use crate::module::Http;

/// How long the answer to `Expect: 100-continue` is left to the backend.
pub(super) const CONTINUE_AFTER: Duration = Duration::from_secs(1);

/// As far as there is room for it. What is no body, or too long, is a status for the client.
pub(super) fn read(cx: &mut Context<'_, Http>) -> Result<(), u16> {
    let Some(remote) = &mut cx.request.remote else { return Ok(()) };
    let (Some(reader), Some(upload)) = (&mut remote.body, remote.upload.clone()) else { return Ok(()) };
    if !upload.borrow().has_room() {
        return Ok(());
    }
    let unread = cx.input.unread();
    let mut octets = Vec::new();
    let progress = reader.advance(unread, |piece| octets.extend_from_slice(piece));
    let (count, is_done) = progress.map_err(|error| error.status())?;
    let length = octets.len() as u64;
    if length > remote.body_room {
        // RFC 9110 §15.5.14.
        return Err(413);
    }
    remote.body_room -= length;
    if is_done {
        remote.body = None;
        cx.request.is_body_read = true;
    }
    let is_present = cx.input.is_present();
    if is_present {
        cx.input.consume(count);
    }
    let is_cut_off = !is_done && is_present && cx.finished();
    let mut upload = upload.borrow_mut();
    upload.push(&octets, &mut cx.desk());
    if is_done {
        upload.finish(&mut cx.desk());
    } else if is_cut_off {
        return Err(400);
    }
    Ok(())
}
