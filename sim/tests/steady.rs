//! What a dead replica costs, and one with a slow disk.

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
        slow_disk: None,
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

/// Under Raft, a majority commits without the slowest disk, the leader's included; and heartbeats wait for none. The disk of the leader is
/// found by making each replica's slow in turn: it is one of them.
#[test]
fn a_disk_ten_times_slower_costs_raft_next_to_nothing_and_no_election() {
    let measure = |slow_disk: Option<u16>| {
        let plan = Plan {
            scenario: Scenario { protocol: ProtocolTag::RAFT, ..Scenario::of_seed(1) },
            replicas: 3,
            dead: None,
            slow_disk: slow_disk.map(ReplicaId),
            first: Duration::from_secs(2),
            measured: Duration::from_secs(4),
        };
        let change = |limits: &mut Limits| (limits.block_bytes, limits.batch_ms) = (512, 1);
        run(&plan, change).expect("no rule is broken")
    };
    let healthy = measure(None);
    assert_eq!(healthy.views, 0, "nobody is elected while nothing is wrong");
    for replica in 0..3 {
        let slow = measure(Some(replica));
        let rate = slow.transactions as f64 / healthy.transactions as f64;
        println!("r{replica}'s disk ten times slower: {rate:.2} of the rate");
        assert!(rate >= 0.9, "r{replica}: {rate}");
        assert_eq!(slow.views, 0, "r{replica}: an election");
    }
}
