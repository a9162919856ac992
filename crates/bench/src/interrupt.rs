//! SIGINT, SIGTERM and SIGHUP: long work checks for them and unwinds, so that all it made is removed.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How often [`sleep`] and [`wait_for`] look.
const STEP: Duration = Duration::from_millis(10);

/// The error of work that was cut short by a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Catches the signals from now on. A second one while the first is being handled changes nothing:
/// cleaning up takes a moment and must not be cut short.
///
/// # Errors
/// The system refuses a handler.
pub(crate) fn install() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, flag.clone()).context("cannot catch signals")?;
    }
    Ok(())
}

/// # Errors
/// [`Interrupted`], once a signal has come.
pub(crate) fn check() -> Result<()> {
    match INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        true => Err(Interrupted.into()),
        false => Ok(()),
    }
}

/// Sleeps.
///
/// # Errors
/// [`Interrupted`], as soon as a signal comes.
pub(crate) fn sleep(duration: Duration) -> Result<()> {
    wait_for(duration, || Ok(None::<()>)).map(drop)
}

/// Asks `ready` again and again until it answers; `None` if it did not within `limit`.
///
/// # Errors
/// [`Interrupted`], or what `ready` fails with.
pub(crate) fn wait_for<T>(limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        check()?;
        if let Some(answer) = ready()? {
            return Ok(Some(answer));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(left.min(STEP));
    }
}
