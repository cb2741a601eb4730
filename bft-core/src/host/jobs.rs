//! Work with shares, which the host hands out because it takes long: a pool of threads does it in the product, virtual time
//! passes in the simulator.

use crate::types::View;
use crypto::{
    Aggregate, Certificate, CombineError, QuorumVerifier, ReplicaId, Scheme, Share, Statement, StatementKind,
};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Beyond this a certificate gains little from company.
const MOST_TOGETHER: usize = 16;

/// Work that waits longer than this for a thread is late. On two cores that four replicas share, one transaction at a time makes it wait for
/// half a millisecond, and as many as they can for 1 to 30.
const LATE: Duration = Duration::from_millis(1);

/// How long a checkpoint's certificate waits for others, at most.
pub const COMPANY_WAIT: Duration = Duration::from_millis(100);

/// Shares to be combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CombineJob {
    /// What they sign.
    pub statement: Statement,
    /// At least a quorum.
    pub shares: Vec<(ReplicaId, Share)>,
}

impl CombineJob {
    /// The certificate, or whose shares are bad.
    ///
    /// # Panics
    /// If there are fewer shares than a quorum, which neither host nor engines combine.
    pub fn result(&self, quorum: &QuorumVerifier) -> Result<Certificate, Vec<ReplicaId>> {
        quorum.combine(&self.statement, &self.shares).map_err(culprits)
    }
}

/// What is to be done about something that was put into a [`CertificateQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// [`CertificateQueue::take`], as soon as a thread is free.
    Now,
    /// The same after [`COMPANY_WAIT`].
    Later,
    /// Nothing: it is taken with what came before it.
    Nothing,
}

/// Shares that wait to be combined, and frames `F` with certificates to be verified. Certificates of threshold signatures cost less together
/// than apart (two of them two thirds), so that on a machine that is late anyway those of checkpoints wait for others: only receipts
/// and the release of the log wait for them. Others bring them along when they are taken.
#[derive(Debug)]
pub struct CertificateQueue<F> {
    jobs: VecDeque<CombineJob>,
    frames: VecDeque<F>,
    /// How many are taken together, at most.
    together: usize,
    /// How long work lately waited for a thread, smoothed.
    late: Duration,
    /// Who sent a certificate that is none: what they send next has no company to spoil.
    liars: BTreeSet<ReplicaId>,
}

impl<F> CertificateQueue<F> {
    /// For the certificates of `quorum`.
    pub fn new(quorum: &QuorumVerifier) -> CertificateQueue<F> {
        let together = if quorum.scheme() == Scheme::Threshold { MOST_TOGETHER } else { 1 };
        let (jobs, frames, liars) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
        CertificateQueue { jobs, frames, together, late: Duration::ZERO, liars }
    }

    /// A piece of work of the threads that verify began so long after it was ready.
    pub fn began(&mut self, after: Duration) {
        self.late = (self.late * 7 + after) / 8;
    }

    /// A certificate of `from` does not hold.
    pub fn lied(&mut self, from: ReplicaId) {
        self.liars.insert(from);
    }

    /// Whether a checkpoint's certificate that comes from there is to wait for others.
    pub fn waits_with(&self, from: ReplicaId) -> bool {
        self.waits() && !self.liars.contains(&from)
    }

    /// Whether checkpoints' certificates are to wait for others.
    fn waits(&self) -> bool {
        self.together > 1 && self.late > LATE
    }

    /// Puts shares in.
    pub fn combine(&mut self, job: CombineJob) -> Next {
        let waits = job.statement.kind == StatementKind::CHECKPOINT && self.waits();
        let next = if waits { self.next() } else { Next::Now };
        self.jobs.push_back(job);
        next
    }

    /// Puts in a frame that can wait.
    pub fn wait(&mut self, frame: F) -> Next {
        let next = self.next();
        self.frames.push_back(frame);
        next
    }

    fn next(&self) -> Next {
        match self.jobs.len() + self.frames.len() {
            0 => Next::Later,
            // One more makes as many as are taken together.
            held if held + 1 >= self.together => Next::Now,
            _ => Next::Nothing,
        }
    }

    /// What is to be verified together.
    pub fn take(&mut self) -> (Vec<CombineJob>, Vec<F>) {
        let jobs: Vec<CombineJob> = self.jobs.drain(..self.jobs.len().min(self.together)).collect();
        let frames = self.frames.drain(..self.frames.len().min(self.together - jobs.len())).collect();
        (jobs, frames)
    }

    /// What goes along with certificates that are verified now.
    pub fn company(&mut self) -> (Vec<CombineJob>, Vec<F>) {
        if self.together > 1 { self.take() } else { (Vec::new(), Vec::new()) }
    }
}

/// Words to be aggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateJob {
    /// The view that they are about.
    pub view: View,
    /// At least a quorum, in ascending order of distinct signers.
    pub words: Vec<(ReplicaId, Statement, Share)>,
}

impl AggregateJob {
    /// The aggregate, or whose shares are bad.
    ///
    /// # Panics
    /// If the words are fewer than a quorum or out of order, as no engine gives them.
    pub fn result(&self, quorum: &QuorumVerifier) -> Result<Aggregate, Vec<ReplicaId>> {
        quorum.aggregate(&self.words).map_err(culprits)
    }
}

fn culprits(error: CombineError) -> Vec<ReplicaId> {
    match error {
        CombineError::Culprits(culprits) => culprits,
        CombineError::TooFew { .. } | CombineError::Order(_) => {
            panic!("a quorum of shares is combined, in order: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use crypto::{Digest, FaultModel, ProtocolTag, StatementKind};

    fn job(kind: StatementKind, height: u64) -> CombineJob {
        let statement = Statement {
            kind,
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
            view: 0,
            height,
            digest: Digest::ZERO,
        };
        CombineJob { statement, shares: Vec::new() }
    }

    fn queue(together: usize, late: Duration) -> CertificateQueue<u64> {
        let (jobs, frames) = (VecDeque::new(), VecDeque::new());
        CertificateQueue { jobs, frames, together, late, liars: BTreeSet::new() }
    }

    #[test]
    fn only_checkpoints_wait_and_only_where_the_machine_is_late() {
        let (checkpoint, other) = (StatementKind::CHECKPOINT, StatementKind::FIRST_OF_PROTOCOL);
        let mut idle = queue(MOST_TOGETHER, Duration::ZERO);
        assert_eq!(idle.combine(job(checkpoint, 1)), Next::Now);
        let mut late = queue(MOST_TOGETHER, 2 * LATE);
        assert_eq!(late.combine(job(checkpoint, 1)), Next::Later);
        assert_eq!((late.wait(2), late.combine(job(checkpoint, 3))), (Next::Nothing, Next::Nothing));
        assert_eq!(late.combine(job(other, 4)), Next::Now);
        let (jobs, frames) = late.take();
        assert_eq!((jobs.len(), frames), (3, vec![2]));
        let mut lists = queue(1, 2 * LATE);
        assert_eq!((lists.combine(job(checkpoint, 1)), lists.company().0.len()), (Next::Now, 0));
    }

    /// Whoever is caught with a bad certificate does not spoil those of others again.
    #[test]
    fn threat_53_certificates_of_liars_have_no_company() {
        let mut queue = queue(MOST_TOGETHER, 2 * LATE);
        assert!(queue.waits_with(ReplicaId(1)));
        queue.lied(ReplicaId(1));
        assert!(!queue.waits_with(ReplicaId(1)) && queue.waits_with(ReplicaId(2)));
    }

    #[test]
    fn it_is_late_while_work_has_to_wait() {
        let mut queue = queue(MOST_TOGETHER, Duration::ZERO);
        queue.began(4 * LATE);
        assert!(!queue.waits(), "once is no rule");
        (0..8).for_each(|_| queue.began(4 * LATE));
        assert!(queue.waits());
        (0..16).for_each(|_| queue.began(Duration::ZERO));
        assert!(!queue.waits());
    }

    /// However work is put in and others take it along, it is all taken, in order, when everybody who was told to take has.
    #[test]
    fn nothing_is_left() {
        for together in [1, 3, MOST_TOGETHER] {
            let mut random = SplitMix64(together as u64);
            let mut queue = queue(together, Duration::ZERO);
            let (mut asked, mut taken, mut waited) = (0, Vec::new(), Vec::new());
            let mut keep = |(jobs, frames): (Vec<CombineJob>, Vec<u64>)| {
                assert!(jobs.len() + frames.len() <= together);
                taken.extend(jobs.into_iter().map(|job| job.statement.height));
                waited.extend(frames);
            };
            for number in 0..1000 {
                let late = random.draw().is_multiple_of(2);
                queue.late = if late { 2 * LATE } else { Duration::ZERO };
                let kind = StatementKind(1 + 15 * u8::from(random.draw().is_multiple_of(2)));
                let next = match queue.waits() && random.draw().is_multiple_of(2) {
                    true => queue.wait(number),
                    false => queue.combine(job(kind, number)),
                };
                asked += u32::from(next != Next::Nothing);
                while asked > 0 && random.draw().is_multiple_of(4) {
                    keep(queue.take());
                    asked -= 1;
                }
                if random.draw().is_multiple_of(8) {
                    keep(queue.company());
                }
            }
            (0..asked).for_each(|_| keep(queue.take()));
            assert!(queue.jobs.is_empty() && queue.frames.is_empty());
            assert!(taken.is_sorted() && waited.is_sorted());
            assert_eq!(taken.len() + waited.len(), 1000);
        }
    }
}
