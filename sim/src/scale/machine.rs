//! Cores, and pools of threads that share them.

use std::collections::VecDeque;
use std::time::Duration;

/// One machine: work that is ready waits for a core, first come, first served. What has had one for a while goes to the end of the line
/// if others wait ([`QUANTUM`]).
#[derive(Debug)]
pub struct Machine<T> {
    cores: usize,
    busy: usize,
    ready: VecDeque<T>,
    /// Time of cores used so far.
    pub used: Duration,
}

/// How long work keeps a core while others wait for it: about what Linux lets it.
pub const QUANTUM: Duration = Duration::from_millis(3);

impl<T> Machine<T> {
    /// A machine with nothing to do.
    ///
    /// # Panics
    /// Without a core.
    pub fn new(cores: usize) -> Machine<T> {
        assert!(cores > 0, "a machine can work");
        Machine { cores, busy: 0, ready: VecDeque::new(), used: Duration::ZERO }
    }

    /// Something is ready to run.
    pub fn submit(&mut self, work: T) {
        self.ready.push_back(work);
    }

    /// What runs next, if a core is free. It has one until [`Machine::finish`].
    pub fn begin(&mut self) -> Option<T> {
        if self.busy == self.cores {
            return None;
        }
        let work = self.ready.pop_front()?;
        self.busy += 1;
        Some(work)
    }

    /// What ran has ended, or was interrupted; it had a core for so long.
    ///
    /// # Panics
    /// If nothing ran.
    pub fn finish(&mut self, used: Duration) {
        self.busy = self.busy.checked_sub(1).expect("what ends has begun");
        self.used += used;
    }

    /// Cores.
    pub fn cores(&self) -> usize {
        self.cores
    }
}

/// Threads of a replica: no more of its work is ready or runs at a time.
#[derive(Debug)]
pub struct Pool<T> {
    threads: usize,
    active: usize,
    waiting: VecDeque<T>,
    /// Time of its threads used so far.
    pub used: Duration,
}

impl<T> Pool<T> {
    /// Threads without work.
    pub fn new(threads: usize) -> Pool<T> {
        Pool { threads, active: 0, waiting: VecDeque::new(), used: Duration::ZERO }
    }

    /// Gives the work back if a thread takes it.
    pub fn submit(&mut self, work: T) -> Option<T> {
        if self.active == self.threads {
            self.waiting.push_back(work);
            return None;
        }
        self.active += 1;
        Some(work)
    }

    /// A thread is done. Gives what it takes next.
    pub fn finish(&mut self) -> Option<T> {
        let next = self.waiting.pop_front();
        self.active -= usize::from(next.is_none());
        next
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// When each of these jobs ends, all ready at once.
    fn ends(mut machine: Machine<u64>, jobs: &[u64]) -> Vec<u64> {
        jobs.iter().for_each(|job| machine.submit(*job));
        let (mut running, mut ends, mut now) = (BTreeSet::new(), Vec::new(), 0);
        loop {
            while let Some(job) = machine.begin() {
                running.insert((now + job, job));
            }
            let Some((end, job)) = running.pop_first() else { return ends };
            machine.finish(Duration::from_nanos(job));
            now = end;
            ends.push(end);
        }
    }

    #[test]
    fn two_jobs_on_one_core_take_the_sum() {
        assert_eq!(ends(Machine::new(1), &[30, 50]), [30, 80]);
    }

    #[test]
    fn two_jobs_on_two_cores_take_the_longest() {
        assert_eq!(ends(Machine::new(2), &[30, 50]), [30, 50]);
        assert_eq!(ends(Machine::new(2), &[30, 50, 40]), [30, 50, 70]);
    }

    #[test]
    fn a_pool_lets_no_more_run_than_it_has_threads() {
        let mut pool = Pool::new(2);
        assert_eq!([1, 2, 3].map(|job| pool.submit(job)), [Some(1), Some(2), None]);
        assert_eq!((pool.finish(), pool.finish(), pool.finish()), (Some(3), None, None));
        assert_eq!(pool.submit(4), Some(4));
    }
}
