//! When to lose patience (the paper's 4.5.2).

use crate::engine::{Out, Pbft, Timer};
use bft_core::types::Time;
use std::time::Duration;

/// Doublings of the timeout, at most: 2^6 times the base.
const MOST_DOUBLINGS: u32 = 6;

/// The clock of a view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing {
    /// Since when the oldest pooled transaction waits.
    pub work: Option<Time>,
    /// Whether the host has to catch up with what is certified.
    pub behind: bool,
    /// When the current view was entered, or asked for.
    pub entered: Time,
    /// Views that failed in a row.
    pub failed: u32,
    /// Settings of the timers, so that they are not set again in vain.
    pub progress: Option<Time>,
    pub new_view: Option<Time>,
    pub resend: Option<Time>,
}

impl Timing {
    /// A view was entered, or is wanted from now on: its clock starts afresh.
    pub fn enter(&mut self, now: Time) {
        self.entered = now;
        self.new_view = None;
    }

    /// The timeout of the current view: doubles with every failed one.
    pub fn timeout(&self, base: Duration) -> Duration {
        base.saturating_mul(1 << self.failed.min(MOST_DOUBLINGS))
    }
}

impl Pbft {
    /// Since when the oldest thing waits: a transaction in the pool or a proposal not decided.
    fn waiting_since(&self) -> Option<Time> {
        let slots = self.slots.range(self.committed + 1..).filter_map(|(_, slot)| slot.since);
        slots.chain(self.timing.work).min()
    }

    /// Sets the timers that follow from the state, where they differ from their settings.
    pub(crate) fn set_timers(&mut self, now: Time, out: &mut Out) {
        let waiting = self.waiting_since();
        let settled = waiting.is_none_or(|since| since > self.timing.entered);
        if self.active && settled {
            self.timing.failed = 0;
        }
        let timeout = self.timing.timeout(self.config.limits.view_timeout());
        let progress = waiting.filter(|_| self.active).map(|since| since.max(self.timing.entered) + timeout);
        let quorum = !self.active && self.have_left() >= self.quorum();
        let new_view = quorum.then(|| self.timing.new_view.unwrap_or(now + timeout));
        // What is said on entering a view, or leaving one, need not be said again at once: a setting from before would be due with the
        // view's timeout, of which it is a part.
        let pause = self.config.limits.view_timeout() / 4;
        let set = self.timing.resend.filter(|at| *at >= self.timing.entered + pause);
        let resend = waiting.map(|_| set.unwrap_or(now + pause));
        out.set_timer(Timer::Progress, &mut self.timing.progress, progress);
        out.set_timer(Timer::NewView, &mut self.timing.new_view, new_view);
        out.set_timer(Timer::Resend, &mut self.timing.resend, resend);
    }

    pub(crate) fn on_progress_timeout(&mut self, now: Time, out: &mut Out) {
        self.timing.progress = None;
        if self.active && self.timing.behind {
            // Others have decided what waits here: the leader gets another timeout once this replica is with them.
            self.timing.entered = now;
        } else if self.active {
            self.next_view(now, out);
        }
    }

    pub(crate) fn on_new_view_timeout(&mut self, now: Time, out: &mut Out) {
        self.timing.new_view = None;
        if !self.active {
            self.next_view(now, out);
        }
    }

    fn next_view(&mut self, now: Time, out: &mut Out) {
        self.timing.failed = self.timing.failed.saturating_add(1);
        if let Some(view) = self.view.checked_add(1) {
            self.start_view_change(now, view, out);
        }
    }
}
