//! The state functions, a file each.

pub(crate) mod ask_backend;
pub(crate) mod await_answer;
pub(crate) mod await_connection;
pub(crate) mod begin;
pub(crate) mod keep_watch;
pub(crate) mod look_up;
pub(crate) mod next_attempt;
pub(crate) mod store_answer;

use afpa_engine::{Context, Notice};

use super::{Fetch, Global};
use crate::stats::BackendEvent;
use crate::upstream::{BackendId, HealthChange, HealthState};

impl Global {
    /// Counts what happened with a backend, and what that changes of what is thought of it.
    pub(crate) fn count(&self, backend: BackendId, event: BackendEvent, change: Option<HealthChange>) {
        let number = self.shared.borrow().number(backend);
        self.stats.backend(number, event);
        self.note(backend, change);
    }

    /// Counts that a backend went down, or came back.
    pub(crate) fn note(&self, backend: BackendId, change: Option<HealthChange>) {
        let event = match change {
            Some(HealthChange { to: HealthState::Down, .. }) => BackendEvent::Down,
            Some(HealthChange { to: HealthState::Up, from: HealthState::Down | HealthState::Recovering }) => {
                BackendEvent::Up
            }
            _ => return,
        };
        let number = self.shared.borrow().number(backend);
        self.stats.backend(number, event);
    }
}

/// Wakes those who wait.
pub(crate) fn notify(cx: &mut Context<'_, Fetch>, waiters: Vec<Notice>) {
    for waiter in waiters {
        cx.notify(waiter);
    }
}
