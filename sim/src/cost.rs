//! What a committed block and a change of leaders cost under chained HotStuff, for committees from 4 to 100, and how that grows.

use crate::checker::Violation;
use crate::scenario::Scenario;
use crate::steady::{self, Plan, Steady};
use bft_core::genesis::{Chain, Limits};
use bft_core::types::ReplicaId;
use crypto::ProtocolTag;
use std::time::Duration;

/// Sizes of the committee.
const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];

/// Views of a tenure.
const TENURE_VIEWS: u64 = 8;

/// Leaders that are changed at each size, in runs of as many seeds.
const CHANGES: u64 = 5;

/// How far a slope may be off.
const TOLERANCE: f64 = 0.05;

/// Frames and signatures for one block or one change of leaders, everybody's together.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Size of the committee.
    pub replicas: usize,
    /// Those that are there, beside the leader.
    pub others: usize,
    /// Frames.
    pub messages: f64,
    /// Signatures and certificates in them.
    pub authenticators: f64,
}

/// Costs by size, and the slope of the least squares through the logarithms of cost and of the number of others, for messages and authenticators.
#[derive(Clone, Debug)]
pub struct Growth {
    /// What was counted.
    pub what: String,
    /// One for each size.
    pub costs: Vec<Cost>,
    /// Of messages, then of authenticators.
    pub slopes: [f64; 2],
}

impl Growth {
    /// Whether it grows as the number of others.
    pub fn is_linear(&self) -> bool {
        self.slopes.iter().all(|slope| (slope - 1.0).abs() <= TOLERANCE)
    }

    fn of(what: String, costs: Vec<Cost>) -> Growth {
        let slope = |of: fn(&Cost) -> f64| {
            let logs: Vec<(f64, f64)> =
                costs.iter().map(|cost| ((cost.others as f64).ln(), of(cost).ln())).collect();
            let count = logs.len() as f64;
            let (x, y) = logs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / count, y + b / count));
            let covariance: f64 = logs.iter().map(|(a, b)| (a - x) * (b - y)).sum();
            covariance / logs.iter().map(|(a, _)| (a - x).powi(2)).sum::<f64>()
        };
        let slopes = [slope(|cost| cost.messages), slope(|cost| cost.authenticators)];
        Growth { what, costs, slopes }
    }
}

fn measure(plan: &Plan, chain: Chain) -> Result<Steady, Violation> {
    let change = |limits: &mut Limits| {
        (limits.chain, limits.tenure_views, limits.view_timeout_ms) = (chain, TENURE_VIEWS, 200);
        // So small that every block is full.
        (limits.block_bytes, limits.batch_ms) = (512, 1);
    };
    steady::run(plan, change)
}

fn plan(seed: u64, replicas: usize, dead: Option<u16>, first_ms: u64, measured_ms: u64) -> Plan {
    Plan {
        scenario: Scenario { protocol: ProtocolTag::HOTSTUFF, ..Scenario::of_seed(seed) },
        replicas,
        dead: dead.map(ReplicaId),
        slow_disk: None,
        first: Duration::from_millis(first_ms),
        measured: Duration::from_millis(measured_ms),
    }
}

fn cost(plan: &Plan, steady: &Steady, counts: impl Fn(&str) -> bool, times: u64) -> Cost {
    let Plan { replicas, dead, .. } = *plan;
    let traffic = || steady.sent.iter().filter(|(kind, _)| counts(kind)).map(|(_, traffic)| traffic);
    let per = |sum: u64| sum as f64 / times.max(1) as f64;
    Cost {
        replicas,
        others: replicas - 1 - usize::from(dead.is_some()),
        messages: per(traffic().map(|traffic| traffic.messages).sum()),
        authenticators: per(traffic().map(|traffic| traffic.authenticators).sum()),
    }
}

/// A block: everything that is sent but for transactions on their way to the leader, for each executed height.
fn of_a_block(replicas: usize, chain: Chain) -> Result<Cost, Violation> {
    let plan = plan(1, replicas, None, 200, 200);
    let steady = measure(&plan, chain)?;
    Ok(cost(&plan, &steady, |kind| kind != "forward", steady.heights))
}

/// A change: the leader of the second tenure is dead, that of the third is honest. What is sent about leaving the tenure, in the
/// median of some runs: where one replica alone knows of a transaction, it may give up long before the others, and says so to
/// everybody.
fn of_a_change(replicas: usize, chain: Chain) -> Result<Cost, Violation> {
    let mut costs = Vec::new();
    for seed in 0..CHANGES {
        let plan = plan(seed, replicas, Some(1), 0, 500);
        let steady = measure(&plan, chain)?;
        let failed = (1..steady.views / TENURE_VIEWS).step_by(replicas).count() as u64;
        costs.push(cost(&plan, &steady, |kind| kind.starts_with("timeout"), failed));
    }
    costs.sort_by(|a, b| a.messages.total_cmp(&b.messages));
    Ok(costs[costs.len() / 2])
}

/// All of it.
///
/// # Errors
/// A rule that was broken in a run.
pub fn growths() -> Result<Vec<Growth>, Violation> {
    let mut growths = Vec::new();
    for chain in [Chain::Two, Chain::Three] {
        for (what, of) in
            [("a block", of_a_block as fn(usize, Chain) -> _), ("a change of leaders", of_a_change)]
        {
            let costs = SIZES.iter().map(|replicas| of(*replicas, chain)).collect::<Result<Vec<_>, _>>()?;
            growths.push(Growth::of(format!("{what}, {chain} chain"), costs));
        }
    }
    Ok(growths)
}
