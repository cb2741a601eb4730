//! When to lose patience.

use crate::engine::{HotStuff, Out, Timer};
use bft_core::types::Time;
use std::time::Duration;

/// Doublings of the timeout, at most: 2^6 times the base.
const MOST_DOUBLINGS: u32 = 6;

/// Doublings of the pause before something is said again while nothing waits, at most.
const MOST_PAUSES: u32 = 8;

/// How many timeouts a tenure may take while something waits all the time: a leader that commits one block each timeout does not
/// keep the others waiting for `tenure_views` of them.
const TIMEOUTS_PER_TENURE: u32 = 4;

/// The clock of a tenure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing {
    /// Since when the oldest pooled transaction waits.
    pub work: Option<Time>,
    /// Whether this replica has to catch up.
    pub behind: bool,
    /// When the current tenure began.
    pub entered: Time,
    /// When something was committed last.
    pub committed: Time,
    /// As leader: when it proposed transactions last.
    pub proposed: Time,
    /// Tenures that failed since then.
    pub failed: u32,
    /// When to say to everybody that it has left.
    pub spread_at: Time,
    /// Others that left too still say so.
    pub others_wait: bool,
    /// Settings of the timers, so that they are not set again in vain.
    pub progress: Option<Time>,
    pub spread: Option<Time>,
    pub resend: Option<Time>,
    /// How often something was said again in this view.
    pub resent: u32,
}

impl Timing {
    /// A tenure began.
    pub fn enter(&mut self, now: Time) {
        self.entered = now;
        self.others_wait = false;
    }

    /// The tenure is given up. Others need half a timeout to do so too, and the next leader to bring the certificate.
    pub fn leave(&mut self, now: Time, base: Duration) {
        self.spread_at = now + base / 2;
        self.spread = None;
    }

    /// It said so to everybody, and will again.
    pub fn spread_again(&mut self, now: Time, base: Duration) {
        self.spread_at = now + self.timeout(base);
        (self.spread, self.others_wait) = (None, false);
    }

    /// It said again what others may lack.
    pub fn said_again(&mut self) {
        self.resend = None;
        self.resent = self.resent.saturating_add(1);
    }

    /// A tenure ended by timeouts.
    pub fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Something was committed.
    pub fn commit(&mut self, now: Time) {
        self.committed = now;
        self.failed = 0;
    }

    /// The timeout of the current tenure: doubles with every failed one.
    pub fn timeout(&self, base: Duration) -> Duration {
        base.saturating_mul(1 << self.failed.min(MOST_DOUBLINGS))
    }

    /// When a tenure ends in which something waits since `since`: a timeout after the last progress, and no later than a few.
    fn patience_ends(&self, since: Time, base: Duration) -> Time {
        let (timeout, begun) = (self.timeout(base), since.max(self.entered));
        let last = begun + timeout.saturating_mul(TIMEOUTS_PER_TENURE);
        (begun.max(self.committed) + timeout).min(last)
    }
}

impl HotStuff {
    /// Since when the oldest thing waits: a transaction in the pool, or a certified or proposed node.
    pub(crate) fn waiting_since(&self) -> Option<Time> {
        let certified = self.tree.branch(self.high_digest, self.committed);
        let proposed = self.ballot.iter().filter_map(|_| self.tree.get(&self.ballot_digest));
        let open = certified.chain(proposed.filter(|known| known.node.height > self.committed));
        open.filter(|known| !known.idle).map(|known| known.since).chain(self.timing.work).min()
    }

    /// Sets the timers that follow from the state, where they differ from their settings.
    pub(crate) fn set_timers(&mut self, now: Time, out: &mut Out) {
        let waiting = self.waiting_since();
        let base = self.config.limits.view_timeout();
        let left = self.has_left();
        let progress = waiting.filter(|_| !left).map(|since| self.timing.patience_ends(since, base));
        let spread = (left && (waiting.is_some() || self.timing.others_wait))
            .then(|| self.timing.spread.unwrap_or(self.timing.spread_at.max(now)));
        // A vote whose view goes on may be one for an empty block that others have committed meanwhile: nothing waits, and still the
        // certificate that ended the view is to be had. Less and less often, should there be none.
        let pauses = if waiting.is_some() { 0 } else { self.timing.resent.min(MOST_PAUSES) };
        let open = waiting.is_some() || self.pending_vote().is_some();
        let resend = open.then(|| self.timing.resend.unwrap_or(now + (base / 4).saturating_mul(1 << pauses)));
        out.set_timer(Timer::Progress, &mut self.timing.progress, progress);
        out.set_timer(Timer::Spread, &mut self.timing.spread, spread);
        out.set_timer(Timer::Resend, &mut self.timing.resend, resend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Longer after every failed tenure until it is long enough for any network that works; then no longer, and whatever the
        /// base is, it does not overflow.
        #[test]
        fn threat_30_a_timeout_doubles_up_to_its_cap_and_does_not_overflow(failed in any::<u32>(), base_ms in 1_u64..) {
            let base = Duration::from_millis(base_ms);
            let mut timing = Timing { failed, ..Timing::default() };
            let timeout = timing.timeout(base);
            prop_assert_eq!(timeout, base.saturating_mul(2_u32.pow(failed.min(MOST_DOUBLINGS))));
            timing.fail();
            let next = timing.timeout(base);
            let factor = if failed < MOST_DOUBLINGS { 2 } else { 1 };
            prop_assert_eq!(next, timeout.saturating_mul(factor));
            timing.commit(Time(1));
            prop_assert_eq!(timing.timeout(base), base);
        }
    }
}
