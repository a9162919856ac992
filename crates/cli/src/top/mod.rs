//! What a running server does, in a terminal: asks its admin server for numbers again and again, and shows what
//! happened in between.
//!
//! - [`Sample`]: what the server says; [`Rates`]: what happened between two samples; [`lines()`]: both as text.

mod lines;
mod numbers;
mod rates;
pub mod sample;
mod screen;

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::answer;
use crate::args::Top;
pub use lines::{Line, lines};
pub use rates::Rates;
pub use sample::Sample;
use screen::Screen;

/// Shows what the command line says. Returns what is left to print.
///
/// # Errors
/// The server cannot be asked once, or there is no terminal: a sentence.
pub fn execute(top: &Top) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the view cannot be set up: {error}"))?;
    runtime.block_on(async {
        if top.once {
            return once(top).await;
        }
        watch(top).await.map(|()| String::new()).map_err(|error| format!("the terminal cannot be used: {error}"))
    })
}

async fn once(top: &Top) -> Result<String, String> {
    let mut view = View::default();
    view.take(ask(top.admin).await?);
    sleep(top.interval.0).await;
    view.take(ask(top.admin).await?);
    Ok(view.lines().into_iter().map(|line| line.text + "\n").collect())
}

async fn watch(top: &Top) -> io::Result<()> {
    // Before the terminal is changed: whatever ends us finds it restored.
    let mut resized = signal(SignalKind::window_change())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut screen = Screen::open()?;
    let mut ticks = interval(top.interval.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View::default();
    loop {
        screen.show(&view.lines())?;
        let asked = async {
            ticks.tick().await;
            ask(top.admin).await
        };
        tokio::select! {
            answer = asked => match answer {
                Ok(moment) => view.take(moment),
                Err(problem) => view.problem = Some(problem),
            },
            _ = resized.recv() => {}
            () = screen.ended() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}

/// What the server says now.
async fn ask(admin: SocketAddr) -> Result<Moment, String> {
    let body = answer::get(admin, "/api/stats").await?;
    let sample = serde_json::from_slice(&body)
        .map_err(|error| format!("the admin server at {admin} says what is not understood: {error}"))?;
    Ok(Moment { sample, taken: Instant::now() })
}

/// A sample, and when it was taken.
struct Moment {
    sample: Sample,
    taken: Instant,
}

/// The last two samples, or why there are none.
#[derive(Default)]
struct View {
    before: Option<Moment>,
    after: Option<Moment>,
    problem: Option<String>,
}

impl View {
    fn take(&mut self, moment: Moment) {
        self.before = self.after.take().filter(|last| {
            // After a gap, and of a server that began again, the old numbers say nothing.
            self.problem.is_none() && last.sample.uptime_seconds <= moment.sample.uptime_seconds
        });
        self.after = Some(moment);
        self.problem = None;
    }

    fn lines(&self) -> Vec<Line> {
        let note = |text: &str| Line { text: text.to_owned(), is_heading: false };
        match (&self.before, &self.after) {
            _ if self.problem.is_some() => {
                let problem = self.problem.as_deref().unwrap_or_default();
                vec![note(problem), note("trying again; q ends")]
            }
            (Some(before), Some(after)) => {
                let seconds = after.taken.saturating_duration_since(before.taken).as_secs_f64();
                lines(&before.sample, &after.sample, seconds)
            }
            (None, Some(after)) => lines(&after.sample, &after.sample, 0.0),
            _ => vec![note("waiting for the first numbers; q ends")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn numbers_from_before_a_gap_or_a_new_start_are_not_compared() {
        let begun = Instant::now();
        let moment = |seconds: u64, uptime_seconds, connected| {
            let engine = sample::Engine { connected, ..sample::Engine::default() };
            let sample = Sample { uptime_seconds, engines: vec![engine], ..Sample::default() };
            Moment { sample, taken: begun + Duration::from_secs(seconds) }
        };
        let mut view = View::default();
        let shown = |view: &View| view.lines().into_iter().map(|line| line.text + "\n").collect::<String>();
        assert!(shown(&view).starts_with("waiting for the first numbers"));
        view.take(moment(0, 60, 100));
        assert!(shown(&view).contains("(0 new/s)"));
        view.take(moment(2, 62, 120));
        assert!(shown(&view).contains("(10 new/s)"));
        view.take(moment(3, 1, 500));
        assert!(shown(&view).contains("(0 new/s)"), "another server");
        view.problem = Some("no server answers".into());
        assert_eq!(shown(&view), "no server answers\ntrying again; q ends\n");
        view.take(moment(9, 7, 900));
        assert!(shown(&view).contains("(0 new/s)"), "after a gap");
        view.take(moment(10, 8, 904));
        assert!(shown(&view).contains("(4 new/s)"));
    }
}
