//! The two clocks of a replica: neither is right, and they are wrong in different ways.

use bft_core::types::{Now, Time, Timestamp};

/// Wall time at the start, in microseconds since the Unix epoch.
const DAWN: u64 = 1_700_000_000_000_000;

/// A million: rates are in parts of it.
const MILLION: i128 = 1_000_000;

/// A monotonic clock that runs fast or slow, and a wall clock that jumps. The world has the true time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Wall clock minus true time, in microseconds.
    pub skew_us: i64,
    /// Parts in a million by which the monotonic clock runs fast.
    pub drift_ppm: i32,
    /// The true time at which the monotonic clock showed `shown`.
    since: Time,
    shown: Time,
}

impl Clock {
    /// A clock with a steady monotonic part.
    pub fn with_skew(skew_us: i64) -> Clock {
        Clock { skew_us, ..Clock::default() }
    }

    /// What it shows at a true time.
    pub fn read(&self, now: Time) -> Now {
        let passed = i128::from(now.0.saturating_sub(self.since.0)) * self.rate() / MILLION;
        let time = Time(self.shown.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)));
        Now { time, wall: Timestamp((DAWN + now.0 / 1000).saturating_add_signed(self.skew_us)) }
    }

    /// The first true time at which the monotonic clock shows at least `shown`.
    pub fn when(&self, shown: Time) -> Time {
        let wait = i128::from(shown.0.saturating_sub(self.shown.0)) * MILLION;
        let passed = wait.div_euclid(self.rate()) + i128::from(wait.rem_euclid(self.rate()) > 0);
        Time(self.since.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    /// From now on the monotonic clock goes on from `shown`: the machine started anew, or slept.
    pub fn set(&mut self, now: Time, shown: Time) {
        (self.since, self.shown) = (now, shown);
    }

    fn rate(&self) -> i128 {
        MILLION + i128::from(self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_the_first_moment_that_shows_it() {
        for drift_ppm in [-30_000, -1, 0, 1, 7, 30_000] {
            for shown in [0, 5_000_000_000] {
                let mut clock = Clock { drift_ppm, ..Clock::default() };
                clock.set(Time(1_000), Time(shown));
                for ahead in [1, 2, 999_983, 500_000_000, 90_000_000_001] {
                    let at = clock.when(Time(shown + ahead));
                    assert!(clock.read(at).time >= Time(shown + ahead), "{drift_ppm} {ahead}");
                    assert!(clock.read(Time(at.0 - 1)).time < Time(shown + ahead), "{drift_ppm} {ahead}");
                }
                assert_eq!(clock.when(Time(0)), Time(1_000), "what is past is due at once");
            }
        }
    }
}
