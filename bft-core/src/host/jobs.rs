//! Work with shares, which the host hands out because it takes long: a pool of threads does it in the product, virtual time
//! passes in the simulator.

use crate::types::View;
use crypto::{Aggregate, Certificate, CombineError, QuorumVerifier, ReplicaId, Scheme, Share, Statement};

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

    /// How many are combined together, at most: where each costs as much together as alone, other threads may do some of them.
    pub fn together(quorum: &QuorumVerifier) -> usize {
        if quorum.scheme() == Scheme::Threshold { MOST_TOGETHER } else { 1 }
    }

    /// The results of all `jobs`, which are checked together.
    ///
    /// # Panics
    /// As [`CombineJob::result`] does.
    pub fn results(jobs: &[CombineJob], quorum: &QuorumVerifier) -> Vec<Result<Certificate, Vec<ReplicaId>>> {
        let votes: Vec<_> = jobs.iter().map(|job| (job.statement, job.shares.as_slice())).collect();
        quorum.combine_batch(&votes).into_iter().map(|outcome| outcome.map_err(culprits)).collect()
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
