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
    thread: JoinHandle<f64>,
    /// Nothing is sent: the thread ends when this is dropped.
    running: Sender<()>,
}

impl Pace {
    pub fn start() -> Pace {
        let (running, until) = channel();
        Pace { thread: std::thread::spawn(move || sample(&until)), running }
    }

    /// Nanoseconds that the piece of work took since the start, on average: at least one sample.
    pub fn stop(self) -> f64 {
        drop(self.running);
        self.thread.join().expect("a sample does not panic")
    }
}

fn sample(until: &Receiver<()>) -> f64 {
    let secret = ClientSecret::from_seed([7; 32]);
    let (key, signature) = (secret.public(), secret.sign(b"a message"));
    let memory = vec![7; MEMORY];
    let (mut samples, mut stopwatch) = (0, Stopwatch::new(Clock::Cpu));
    for piece in memory.chunks(PIECE).cycle() {
        stopwatch.time(|| {
            std::hint::black_box(key.verify(b"a message", &signature)).expect("it signed it");
            std::hint::black_box(Digest::of(Domain::Test, piece));
        });
        samples += 1;
        if until.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    stopwatch.elapsed().as_nanos() as f64 / f64::from(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_known_as_soon_as_it_is_asked_for() {
        let pace = Pace::start().stop();
        assert!(pace.is_finite() && pace > 0.0, "{pace}");
    }
}
