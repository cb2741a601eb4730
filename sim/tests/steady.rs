//! What a dead replica costs.

use bft_core::genesis::{Chain, Limits};
use bft_core::types::ReplicaId;
use crypto::ProtocolTag;
use sim::Scenario;
use sim::steady::{Plan, Steady, run};
use std::time::Duration;

const TENURE_VIEWS: u64 = 128;
const VIEW_TIMEOUT_MS: u64 = 80;

fn measure(chain: Chain, dead: Option<ReplicaId>) -> Steady {
    let plan = Plan {
        scenario: Scenario { protocol: ProtocolTag::HOTSTUFF, ..Scenario::of_seed(1) },
        replicas: 4,
        dead,
        first: Duration::from_millis(500),
        measured: Duration::from_secs(4),
    };
    let change = |limits: &mut Limits| {
        limits.chain = chain;
        (limits.tenure_views, limits.view_timeout_ms) = (TENURE_VIEWS, VIEW_TIMEOUT_MS);
        // So small that every block is full.
        (limits.block_bytes, limits.batch_ms) = (512, 1);
    };
    run(&plan, change).expect("no rule is broken")
}

/// With n replicas, tenures of t views, views that take d and a timeout of o, the tenures of the others take (n − 1)·t·d out of
/// every (n − 1)·t·d + o. And with one of four dead a view waits for all the others, of which else the slowest does not count.
#[test]
fn threat_25_with_one_dead_hotstuff_keeps_most_of_its_rate() {
    for chain in [Chain::Two, Chain::Three] {
        let (healthy, without) = (measure(chain, None), measure(chain, Some(ReplicaId(3))));
        let view_ms = 4000.0 / healthy.views as f64;
        let others = 3.0 * TENURE_VIEWS as f64 * view_ms;
        let expected = others / (others + VIEW_TIMEOUT_MS as f64);
        let rate = without.transactions as f64 / healthy.transactions as f64;
        println!("{chain}: views of {view_ms:.2} ms, {rate:.2} of the rate, {expected:.2} by the turns lost");
        assert!((0.7..1.0).contains(&rate), "{chain}: {rate}");
    }
}
