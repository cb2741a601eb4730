//! What agreement and a change of leaders cost grows as the number of the other replicas, and no faster.
#![expect(clippy::disallowed_types, reason = "a slope is measured, and no replica agrees on it")]

use crate::network::{Network, TIMEOUT};
use bft_core::genesis::Chain;

const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];

/// Messages and signatures sent so far, by everybody.
fn cost(network: &Network) -> [usize; 2] {
    let members = || network.members.iter().flatten();
    let messages = members().flat_map(|member| member.sent.values()).sum();
    [messages, members().map(|member| member.authenticators).sum()]
}

fn since(network: &Network, before: [usize; 2]) -> [usize; 2] {
    let now = cost(network);
    [now[0] - before[0], now[1] - before[1]]
}

/// For each block that is committed in the second to fifth tenure, with transactions one at a time.
fn of_a_block(replicas: usize, chain: Chain) -> [f64; 2] {
    let mut network = Network::new(replicas, chain);
    let mut round = 0;
    let mut fill = |network: &mut Network, blocks: usize| {
        while network.agreed().len() < blocks {
            network.submit(&format!("a{round}"));
            network.settle(|_| false);
            round += 1;
        }
    };
    fill(&mut network, 8);
    let (before, blocks) = (cost(&network), network.agreed().len());
    fill(&mut network, 40);
    let blocks = network.agreed().len() - blocks;
    since(&network, before).map(|sent| sent as f64 / blocks as f64)
}

/// From a leader of whom nothing is heard any more to the next commit, whose transactions' blocks are part of it.
fn of_a_view_change(replicas: usize, chain: Chain) -> [f64; 2] {
    let mut network = Network::new(replicas, chain);
    network.submit("a");
    network.settle(|_| false);
    let (before, blocks) = (cost(&network), network.agreed().len());
    network.submit("b");
    network.run(TIMEOUT, |letter| letter.from.0 == 0);
    assert!(network.agreed().len() > blocks, "the next leader, who is honest, goes on within a timeout");
    since(&network, before).map(|sent| sent as f64)
}

/// The slope of the least squares through the logarithms.
fn slope(points: &[(usize, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, cost)| (((n - 1) as f64).ln(), cost.ln())).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let x = mean(logs.iter().map(|(x, _)| *x).collect());
    let y = mean(logs.iter().map(|(_, y)| *y).collect());
    let covariance: f64 = logs.iter().map(|(a, b)| (a - x) * (b - y)).sum();
    covariance / logs.iter().map(|(a, _)| (a - x).powi(2)).sum::<f64>()
}

fn assert_linear(what: &str, of: fn(usize, Chain) -> [f64; 2]) {
    for chain in [Chain::Two, Chain::Three] {
        let costs: Vec<(usize, [f64; 2])> = SIZES.iter().map(|n| (*n, of(*n, chain))).collect();
        for (index, unit) in ["messages", "authenticators"].into_iter().enumerate() {
            let points: Vec<(usize, f64)> = costs.iter().map(|(n, cost)| (*n, cost[index])).collect();
            let slope = slope(&points);
            println!("{what}, {chain}: {unit} {points:.1?}, slope {slope:.3}");
            assert!((0.95..=1.05).contains(&slope), "{what}, {chain}: {unit} {points:?}, slope {slope}");
        }
    }
}

#[test]
fn a_block_costs_as_many_messages_and_signatures_as_there_are_other_replicas() {
    assert_linear("a block", of_a_block);
}

#[test]
fn a_view_change_does_too_if_the_next_leader_is_honest() {
    assert_linear("a view change", of_a_view_change);
}
