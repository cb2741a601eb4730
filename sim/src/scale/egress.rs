//! A replica's way out: one frame after the other, as fast as its bandwidth lets it.

use bft_core::engine::Class;
use std::collections::BTreeMap;
use std::time::Duration;

/// What UDP, IP, QUIC and Ethernet add to a datagram of [`DATAGRAM_BYTES`], about.
const OVERHEAD_BYTES: u64 = 80;

/// Bytes of frames in a full datagram.
const DATAGRAM_BYTES: u64 = 1400;

/// See the module's text. Urgent classes first; within a class in the order in which they came. A frame that is being sent is not
/// interrupted.
#[derive(Debug)]
pub struct Egress<T> {
    bits_per_second: u64,
    waiting: BTreeMap<(Class, u64), (u64, T)>,
    order: u64,
    sending: bool,
    /// How long it has sent.
    pub used: Duration,
}

impl<T> Egress<T> {
    /// A way out of this bandwidth.
    pub fn new(megabits: u64) -> Egress<T> {
        Egress {
            bits_per_second: megabits * 1_000_000,
            waiting: BTreeMap::new(),
            order: 0,
            sending: false,
            used: Duration::ZERO,
        }
    }

    /// Something is to be sent.
    pub fn submit(&mut self, class: Class, bytes: u64, what: T) {
        self.order += 1;
        self.waiting.insert((class, self.order), (bytes, what));
    }

    /// What is sent next, and how long it takes, if nothing is being sent.
    pub fn begin(&mut self) -> Option<(Duration, T)> {
        if self.sending {
            return None;
        }
        let (_, (bytes, what)) = self.waiting.pop_first()?;
        self.sending = true;
        let on_the_wire = bytes + bytes.div_ceil(DATAGRAM_BYTES) * OVERHEAD_BYTES;
        let takes = Duration::from_nanos(on_the_wire * 8 * 1_000_000_000 / self.bits_per_second);
        self.used += takes;
        Some((takes, what))
    }

    /// It has left.
    pub fn finish(&mut self) {
        self.sending = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_one_after_the_other() {
        let mut egress = Egress::new(1000);
        egress.submit(Class::Proposal, 140_000, "first");
        egress.submit(Class::Proposal, 1400, "second");
        // 148,000 bytes at a gigabit a second.
        assert_eq!(egress.begin(), Some((Duration::from_nanos(1_184_000), "first")));
        assert_eq!(egress.begin(), None, "one at a time");
        egress.finish();
        assert_eq!(egress.begin(), Some((Duration::from_nanos(11_840), "second")));
        assert_eq!(egress.used, Duration::from_nanos(1_195_840));
    }

    #[test]
    fn votes_overtake_what_waits() {
        let mut egress = Egress::new(1);
        for (class, name) in [(Class::Pool, "pool"), (Class::Proposal, "proposal"), (Class::Vote, "vote")] {
            egress.submit(class, 1, name);
        }
        let order: Vec<&str> = std::iter::from_fn(|| {
            egress.finish();
            egress.begin().map(|(_, name)| name)
        })
        .collect();
        assert_eq!(order, ["vote", "proposal", "pool"]);
    }
}
