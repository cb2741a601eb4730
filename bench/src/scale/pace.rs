//! How fast this machine is at the moment.
//!
//! A virtual machine shares memory, caches and clock with others: the same work takes up to twice as long a minute later. So while something is
//! measured a thread does the same small piece of work again and again, a signature to check and memory to hash, and what it takes on the
//! CPU clock goes with the measurement. What was measured at two paces can be compared as if it had been at one.

use super::calibration::cpu_clock;
use crypto::{ClientSecret, Digest, Domain};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two samples: they take three thousandths of a core.
const PAUSE: Duration = Duration::from_millis(20);

/// Memory that is hashed piece by piece: more than the second cache holds.
const MEMORY: usize = 8 << 20;
const PIECE: usize = 32 << 10;

/// Looks at the pace until it is asked.
pub(super) struct Pace {
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<f64>>,
}

impl Pace {
    pub fn start() -> Pace {
        let running = Arc::new(AtomicBool::new(true));
        let until = Arc::clone(&running);
        Pace { running, thread: Some(std::thread::spawn(move || sample(&until))) }
    }

    /// Nanoseconds that the piece of work took since the start, on average: at least one sample.
    pub fn stop(mut self) -> f64 {
        self.running.store(false, Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("a sample does not panic")
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.running.store(false, Relaxed);
    }
}

fn sample(running: &AtomicBool) -> f64 {
    let secret = ClientSecret::from_seed([7; 32]);
    let (key, signature) = (secret.public(), secret.sign(b"a message"));
    let memory = vec![7; MEMORY];
    let (mut samples, mut spent) = (0, Duration::ZERO);
    for piece in memory.chunks(PIECE).cycle() {
        let begun = cpu_clock();
        std::hint::black_box(key.verify(b"a message", &signature)).expect("it signed it");
        std::hint::black_box(Digest::of(Domain::Test, piece));
        spent += cpu_clock() - begun;
        samples += 1;
        if !running.load(Relaxed) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    spent.as_nanos() as f64 / f64::from(samples)
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
