//! Time that counts.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::time::Duration;

/// What time is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// CPU time of this thread: while others have the processor it stands still. Where processors share a core, a busy neighbour makes
    /// it run longer all the same, up to twice as long.
    Cpu,
    /// The wall's: for what waits for a disk.
    Wall,
}

impl Clock {
    fn reading(self) -> Duration {
        let time = clock_gettime(match self {
            Clock::Cpu => ClockId::ThreadCPUTime,
            Clock::Wall => ClockId::Monotonic,
        });
        let seconds = u64::try_from(time.tv_sec).expect("both clocks count from zero");
        Duration::new(seconds, u32::try_from(time.tv_nsec).expect("less than a second"))
    }
}

/// Runs while work is done that counts.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: Clock,
    elapsed: Duration,
}

impl Stopwatch {
    /// One that has not run.
    pub fn new(clock: Clock) -> Stopwatch {
        Stopwatch { clock, elapsed: Duration::ZERO }
    }

    /// Does `work` while it runs. What comes out is dropped, if at all, when it runs no more.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = self.clock.reading();
        let result = work();
        self.elapsed += self.clock.reading().saturating_sub(begin);
        result
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
