//! How long a replica takes for what it does, but for the network.

use std::time::Duration;

/// The shortest and the longest time.
pub type Span = (Duration, Duration);

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A sync of the log.
    pub sync: Span,
    /// A seal.
    pub seal: Span,
    /// Combining shares, or aggregating words.
    pub combine: Span,
    /// Handing something over from one thread to another.
    pub hand_over: Span,
    /// Writing a state.
    pub flush: Span,
}

const fn between(from_us: u64, to_us: u64) -> Span {
    (Duration::from_micros(from_us), Duration::from_micros(to_us))
}

impl Pace {
    /// As on machines that also do other things, with disks that take so many milliseconds at worst.
    pub const fn with_disk_of(slowest_ms: u64) -> Pace {
        Pace {
            sync: between(100, 1000 * slowest_ms),
            seal: between(50, 300),
            combine: between(500, 2000),
            hand_over: between(50, 1000),
            flush: between(1000, 20_000),
        }
    }

    /// Nothing takes any time, so that what is left is message delays.
    pub const INSTANT: Pace = Pace {
        sync: between(0, 0),
        seal: between(0, 0),
        combine: between(0, 0),
        hand_over: between(0, 0),
        flush: between(0, 0),
    };
}
