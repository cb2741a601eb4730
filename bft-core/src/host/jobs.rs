//! Work with shares, which the host hands out because it takes long: a pool of threads does it in the product, virtual time
//! passes in the simulator.

use crate::types::View;
use crypto::{Aggregate, Certificate, CombineError, QuorumVerifier, ReplicaId, Scheme, Share, Statement};
use std::collections::VecDeque;

/// Beyond this a certificate gains little from company, and has to wait for it.
const MOST_TOGETHER: usize = 16;

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

/// Shares that wait to be combined. Where those of several statements cost less together than apart, they are; where not, other threads may do
/// some of them.
#[derive(Debug)]
pub struct CombineQueue {
    /// Invariant: for each `together` of them, or a part of as many, whoever works on the queue was told to take once.
    waiting: VecDeque<CombineJob>,
    together: usize,
}

impl CombineQueue {
    /// For the certificates of `quorum`.
    pub fn new(quorum: &QuorumVerifier) -> CombineQueue {
        let together = if quorum.scheme() == Scheme::Threshold { MOST_TOGETHER } else { 1 };
        CombineQueue { waiting: VecDeque::new(), together }
    }

    /// Puts a job in, and says whether [`CombineQueue::take`] is to be called once more.
    pub fn push(&mut self, job: CombineJob) -> bool {
        self.waiting.push_back(job);
        (self.waiting.len() - 1).is_multiple_of(self.together)
    }

    /// What is to be combined together: at least one job, if it is called as often as it was asked for.
    pub fn take(&mut self) -> Vec<CombineJob> {
        let count = self.waiting.len().min(self.together);
        self.waiting.drain(..count).collect()
    }
}

/// The results of `jobs`, which are checked together.
///
/// # Panics
/// As [`CombineJob::result`] does.
pub fn combine_together(
    jobs: &[CombineJob],
    quorum: &QuorumVerifier,
) -> Vec<Result<Certificate, Vec<ReplicaId>>> {
    let votes: Vec<_> = jobs.iter().map(|job| (job.statement, job.shares.as_slice())).collect();
    quorum.combine_batch(&votes).into_iter().map(|outcome| outcome.map_err(culprits)).collect()
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

    fn job(height: u64) -> CombineJob {
        let statement = Statement {
            kind: StatementKind::CHECKPOINT,
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

    /// Whenever takes happen, each finds something, and together they find everything, in order.
    #[test]
    fn no_job_is_left_and_no_take_is_in_vain() {
        for together in [1, 3, MOST_TOGETHER] {
            let mut queue = CombineQueue { waiting: VecDeque::new(), together };
            let (mut random, mut asked, mut taken) = (SplitMix64(together as u64), 0, Vec::new());
            for height in 0..1000 {
                asked += u32::from(queue.push(job(height)));
                while asked > 0 && random.draw().is_multiple_of(4) {
                    let jobs = queue.take();
                    assert!((1..=together).contains(&jobs.len()));
                    taken.extend(jobs.into_iter().map(|job| job.statement.height));
                    asked -= 1;
                }
            }
            for _ in 0..asked {
                let jobs = queue.take();
                assert!(!jobs.is_empty());
                taken.extend(jobs.into_iter().map(|job| job.statement.height));
            }
            assert_eq!(taken, (0..1000).collect::<Vec<u64>>());
        }
    }
}
