//! How fast this machine is at the moment.
//!
//! A virtual machine shares memory, caches and clock with others: the same work takes up to twice as long a minute later. So while something is
//! measured a thread does the same small piece of work again and again, a signature to check and memory to hash, and what it takes on the
//! CPU clock goes with the measurement. What was measured at two paces can be compared as if it had been at one.

use crate::operations::{Clock, Stopwatch};
use crypto::{ClientSecret, Digest, Domain};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two samples: they take three thousandths of a core.
const PAUSE: Duration = Duration::from_millis(20);

/// Memory that is hashed piece by piece: more than the second cache holds.
const MEMORY: usize = 8 << 20;
const PIECE: usize = 32 << 10;

/// Looks at the pace until it is asked, or dropped.
pub(super) struct Pace {
    thread: JoinHandle<Samples>,
    /// Nothing is sent: the thread ends when this is dropped.
    running: Sender<()>,
}

impl Pace {
    pub fn start() -> Pace {
        let (running, until) = channel();
        Pace { thread: std::thread::spawn(move || sample(&until)), running }
    }

    /// What the piece of work took since the start: at least one sample.
    pub fn stop(self) -> Samples {
        drop(self.running);
        self.thread.join().expect("a sample does not panic")
    }
}

/// Nanoseconds that the piece of work took, each time, in ascending order.
#[derive(Debug)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// For what is a sum over the same time.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// For what is a median itself: moments in which the machine stands still count in neither.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

fn sample(until: &Receiver<()>) -> Samples {
    let secret = ClientSecret::from_seed([7; 32]);
    let (key, signature) = (secret.public(), secret.sign(b"a message"));
    let memory = vec![7; MEMORY];
    let mut samples = Vec::new();
    for piece in memory.chunks(PIECE).cycle() {
        let mut stopwatch = Stopwatch::new(Clock::Cpu);
        stopwatch.time(|| {
            std::hint::black_box(key.verify(b"a message", &signature)).expect("it signed it");
            std::hint::black_box(Digest::of(Domain::Test, piece));
        });
        samples.push(stopwatch.elapsed().as_nanos() as f64);
        if until.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    samples.sort_unstable_by(f64::total_cmp);
    Samples(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_known_as_soon_as_it_is_asked_for() {
        let samples = Pace::start().stop();
        assert!(samples.mean() > 0.0 && samples.median() > 0.0, "{samples:?}");
    }
    #[test]
    fn a_moment_that_stands_still_is_in_the_mean_only() {
        let samples = Samples(vec![50.0, 51.0, 52.0, 5_000.0, 9_000.0]);
        assert_eq!(samples.median(), 52.0);
        assert!(samples.mean() > 2_000.0);
    }
}
