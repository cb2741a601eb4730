//! What a dead replica costs.
#![expect(clippy::disallowed_types, reason = "a rate is measured, and no replica agrees on it")]

use bft_core::genesis::{Chain, Limits};
use crypto::ProtocolTag;
use sim::{Scenario, steady};

const TENURE_VIEWS: u64 = 128;
const VIEW_TIMEOUT_MS: u64 = 80;

/// With n replicas, tenures of t views, views that take d and a timeout of o, the tenures of the others take (n − 1)·t·d out of
/// every (n − 1)·t·d + o. And with one of four dead a view waits for all the others, of which else the slowest does not count.
#[test]
fn threat_25_with_one_dead_hotstuff_keeps_most_of_its_rate() {
    for chain in [Chain::Two, Chain::Three] {
        let measure = |all: bool| {
            let scenario = Scenario { protocol: ProtocolTag::HOTSTUFF, ..Scenario::of_seed(1) };
            let change = |limits: &mut Limits| {
                (limits.chain, limits.tenure_views) = (chain, TENURE_VIEWS);
                // So small that every block is full.
                (limits.view_timeout_ms, limits.block_bytes, limits.batch_ms) = (VIEW_TIMEOUT_MS, 512, 1);
            };
            steady::run(&scenario, all, change).expect("no rule is broken")
        };
        let (healthy, without) = (measure(true), measure(false));
        let view_ms = healthy.view().as_secs_f64() * 1e3;
        let others = 3.0 * TENURE_VIEWS as f64 * view_ms;
        let expected = others / (others + VIEW_TIMEOUT_MS as f64);
        let rate = without.transactions as f64 / healthy.transactions as f64;
        println!("{chain}: views of {view_ms:.2} ms, {rate:.2} of the rate, {expected:.2} by the turns lost");
        assert!((0.7..1.0).contains(&rate), "{chain}: {rate}; {healthy:?}, {without:?}");
    }
}
