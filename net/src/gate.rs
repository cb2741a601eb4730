//! Who may begin a handshake: the defence against handshake floods and spoofed sources (threat 64).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::limits::HandshakeLimits;

/// What to do with a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Begin the handshake; [`Gate::leave`] is due at its end.
    Accept,
    /// Send a retry token, keeping no state: only who receives at the claimed address comes back with it.
    Retry,
    /// Turn away.
    Refuse,
}

/// Counts handshakes that are open and that began lately.
///
/// Its memory: one counter per network with a validated handshake open, at most `open` and the roster's.
pub(crate) struct Gate {
    limits: HandshakeLimits,
    open: usize,
    /// Of those, handshakes of roster addresses.
    open_of_roster: usize,
    /// Handshakes of validated addresses. No entry is zero.
    per_network: HashMap<IpAddr, usize>,
    /// A token bucket: handshakes that may begin now.
    tokens: f64,
    filled: Instant,
}

/// The claim of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub ip: IpAddr,
    /// The address has returned a token.
    pub validated: bool,
    /// The roster names this address.
    pub of_roster: bool,
}

impl Gate {
    pub fn new(limits: HandshakeLimits, now: Instant) -> Gate {
        let tokens = limits.per_second as f64;
        Gate { limits, open: 0, open_of_roster: 0, per_network: HashMap::new(), tokens, filled: now }
    }

    /// Decides on an attempt, and counts it if it is accepted.
    pub fn enter(&mut self, attempt: Attempt, now: Instant) -> Verdict {
        self.refill(now);
        let verdict = self.judge(attempt);
        if verdict == Verdict::Accept {
            self.open += 1;
            self.open_of_roster += usize::from(attempt.of_roster);
            self.tokens = (self.tokens - 1.0).max(0.0);
            if attempt.validated {
                *self.per_network.entry(network(attempt.ip)).or_default() += 1;
            }
        }
        verdict
    }

    fn judge(&self, attempt: Attempt) -> Verdict {
        let calm = self.open < self.limits.retry_above && self.tokens >= 1.0;
        if !attempt.validated {
            // Anybody can claim an address, a roster one too. Under load a claim gets a token and nothing else.
            return if calm { Verdict::Accept } else { Verdict::Retry };
        }
        let room = if attempt.of_roster {
            self.open_of_roster < self.limits.open
        } else {
            let here = self.per_network.get(&network(attempt.ip)).copied().unwrap_or(0);
            let strangers = self.open - self.open_of_roster;
            strangers < self.limits.open && here < self.limits.open_per_ip && self.tokens >= 1.0
        };
        if room { Verdict::Accept } else { Verdict::Refuse }
    }

    fn refill(&mut self, now: Instant) {
        let rate = self.limits.per_second as f64;
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(rate);
        self.filled = now;
    }

    /// Ends an accepted attempt.
    pub fn leave(&mut self, attempt: Attempt) {
        self.open -= 1;
        self.open_of_roster -= usize::from(attempt.of_roster);
        if attempt.validated {
            let network = network(attempt.ip);
            if let Some(here) = self.per_network.get_mut(&network) {
                *here -= 1;
                if *here == 0 {
                    self.per_network.remove(&network);
                }
            }
        }
    }

    /// Handshakes that are open.
    pub fn open(&self) -> usize {
        self.open
    }
}

/// What one owner usually holds: an IPv4 address, or an IPv6 /64 network.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: HandshakeLimits = HandshakeLimits {
        retry_above: 2,
        open: 4,
        open_per_ip: 3,
        per_second: 100,
        timeout: Duration::from_secs(5),
    };

    fn attempt(last: u8, validated: bool, of_roster: bool) -> Attempt {
        Attempt { ip: IpAddr::from([10, 0, 0, last]), validated, of_roster }
    }

    #[test]
    fn threat_64_under_load_an_address_must_prove_itself() {
        let now = Instant::now();
        let mut gate = Gate::new(LIMITS, now);
        let spoofed = attempt(1, false, false);
        assert_eq!(gate.enter(spoofed, now), Verdict::Accept);
        assert_eq!(gate.enter(spoofed, now), Verdict::Accept);
        for _ in 0..1000 {
            assert_eq!(gate.enter(spoofed, now), Verdict::Retry);
            assert_eq!(gate.enter(attempt(9, false, true), now), Verdict::Retry);
        }
        assert_eq!(gate.open(), 2);
        assert_eq!(gate.enter(attempt(1, true, false), now), Verdict::Accept);
    }

    #[test]
    fn threat_64_strangers_are_capped_and_roster_addresses_have_room_of_their_own() {
        let now = Instant::now();
        let mut gate = Gate::new(LIMITS, now);
        for _ in 0..3 {
            assert_eq!(gate.enter(attempt(1, true, false), now), Verdict::Accept);
        }
        assert_eq!(gate.enter(attempt(1, true, false), now), Verdict::Refuse, "per address");
        assert_eq!(gate.enter(attempt(2, true, false), now), Verdict::Accept);
        assert_eq!(gate.enter(attempt(3, true, false), now), Verdict::Refuse, "all together");
        for _ in 0..4 {
            assert_eq!(gate.enter(attempt(1, true, true), now), Verdict::Accept);
        }
        assert_eq!(gate.enter(attempt(1, true, true), now), Verdict::Refuse);
        for _ in 0..4 {
            gate.leave(attempt(1, true, true));
        }
        for _ in 0..3 {
            gate.leave(attempt(1, true, false));
        }
        gate.leave(attempt(2, true, false));
        assert_eq!(gate.open(), 0);
        assert!(gate.per_network.is_empty());
    }

    #[test]
    fn threat_64_the_rate_is_capped_and_recovers() {
        let start = Instant::now();
        let mut gate = Gate::new(LIMITS, start);
        let stranger = attempt(1, true, false);
        let mut accepted = 0;
        for _ in 0..1000 {
            if gate.enter(stranger, start) == Verdict::Accept {
                gate.leave(stranger);
                accepted += 1;
            }
        }
        assert_eq!(accepted, 100);
        assert_eq!(gate.enter(attempt(1, false, false), start), Verdict::Retry);
        assert_eq!(gate.enter(stranger, start + Duration::from_millis(20)), Verdict::Accept);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let a: IpAddr = "2001:db8:1:2:aaaa::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:bbbb::2".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_ne!(network(a), network(c));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), network("10.0.0.1".parse().unwrap()));
    }
}
