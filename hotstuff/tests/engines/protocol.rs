//! The protocol among engines that talk to each other.

use crate::network::{Letter, Network, TIMEOUT};
use bft_core::engine::Input;
use bft_core::genesis::Chain;
use bft_core::types::View;
use bft_core::verified::Verified;
use std::time::Duration;

const BOTH: [Chain; 2] = [Chain::Two, Chain::Three];

fn never(_: &Letter) -> bool {
    false
}

fn views(network: &Network) -> Vec<View> {
    use bft_core::engine::Engine;
    network.members.iter().flatten().map(|member| member.engine.status().view).collect()
}

#[test]
fn a_transaction_commits_everywhere_without_waiting_for_another_and_then_it_is_silent() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        network.submit("a");
        network.settle(never);
        for replica in 0..4 {
            assert_eq!(network.transactions(replica), 1, "{chain}, replica {replica}");
            assert!(network.member(replica).timers.is_empty(), "{chain}: nothing waits");
        }
        assert_eq!(network.agreed().len(), 1, "{chain}: the flush itself is not committed");
        let before = views(&network);
        network.run(Duration::from_secs(100), never);
        assert_eq!(views(&network), before, "{chain}: an idle network does nothing");
    }
}

#[test]
fn messages_of_a_block_are_a_proposal_and_a_vote_for_each_other_replica() {
    for chain in BOTH {
        let mut network = Network::new(7, chain);
        network.submit("a");
        network.settle(never);
        let sent = |kind| -> usize {
            network.members.iter().flatten().map(|member| member.sent.get(kind).copied().unwrap_or(0)).sum()
        };
        let views = if chain == Chain::Two { 2 } else { 3 };
        assert_eq!(
            (sent("proposal"), sent("vote"), sent("certificate")),
            (6 * views, 6 * views, 6),
            "{chain}"
        );
    }
}

#[test]
fn many_transactions_pass_through_many_tenures() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        for round in 0..40 {
            network.submit(&format!("a{round}"));
            network.settle(never);
        }
        assert_eq!(network.transactions(3), 40, "{chain}");
        network.agreed();
        assert!(views(&network)[0] > 64, "{chain}: leaders took turns");
    }
}

#[test]
fn threat_25_a_crashed_leader_is_passed_over_within_two_timeouts() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        network.submit("a");
        network.settle(never);
        network.crash(0);
        network.submit("b");
        network.run(2 * TIMEOUT, never);
        for replica in 1..4 {
            assert_eq!(network.transactions(replica), 2, "{chain}, replica {replica}");
        }
        network.agreed();
    }
}

#[test]
fn with_the_next_leader_dead_too_timeouts_go_to_everybody() {
    for chain in BOTH {
        let mut network = Network::new(7, chain);
        network.crash(0);
        network.crash(1);
        network.submit("a");
        network.run(6 * TIMEOUT, never);
        for replica in 2..7 {
            assert_eq!(network.transactions(replica), 1, "{chain}, replica {replica}");
        }
    }
}

#[test]
fn one_replica_of_four_dead_and_blocks_commit_in_every_honest_tenure() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        network.crash(2);
        for round in 0..60 {
            network.submit(&format!("a{round}"));
            network.run(3 * TIMEOUT, never);
            assert_eq!(network.transactions(0), round + 1, "{chain}, round {round}");
        }
        network.agreed();
    }
}

#[test]
fn threat_24_views_meet_after_a_hundred_seconds_in_which_every_message_is_lost_at_random() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        let mut state = 88_172_645_463_325_252_u64;
        let mut lost = |_: &Letter| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 10 < 7
        };
        network.submit("a");
        network.run(Duration::from_secs(100), &mut lost);
        network.submit("b");
        // The longest backoff, and what a new tenure takes.
        network.run(70 * TIMEOUT, never);
        for replica in 0..4 {
            assert_eq!(network.transactions(replica), 2, "{chain}, replica {replica}");
        }
        network.agreed();
        let (lowest, highest) = (views(&network).into_iter().min(), views(&network).into_iter().max());
        assert_eq!(lowest, highest, "{chain}");
    }
}

#[test]
fn threat_28_a_replica_that_missed_every_proposal_fetches_what_was_certified() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        // Fewer heights than a checkpoint covers: from there on it is block sync.
        for round in 0..2 {
            network.submit(&format!("a{round}"));
            network.settle(|letter| letter.to.0 == 3 && letter.is("proposal"));
        }
        network.submit("last");
        network.run(TIMEOUT, never);
        assert_eq!(network.transactions(3), 3, "{chain}");
        network.agreed();
    }
}

// threat 21
#[test]
fn a_replica_that_restarts_between_its_vote_and_the_certificate_says_it_again() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        network.submit("a");
        // Only what two of four say arrives: no quorum.
        network.settle(|letter| letter.is("vote") && letter.from.0 != 1);
        assert_eq!(network.transactions(0), 0, "{chain}");
        for replica in [1, 2, 3] {
            let (records, blocks) = network.crash(replica);
            network.start(replica, records, blocks);
        }
        network.submit("b");
        network.run(TIMEOUT, never);
        assert_eq!(network.transactions(0), 2, "{chain}");
        network.agreed();
        assert!(network.members.iter().flatten().all(|member| member.evidence.is_empty()), "{chain}");
    }
}

#[test]
fn all_restart_at_once_and_go_on() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        network.submit("a");
        network.settle(|letter| letter.is("certificate"));
        let written: Vec<_> = (0..4).map(|replica| network.crash(replica)).collect();
        network.letters.clear();
        for (replica, (records, blocks)) in written.into_iter().enumerate() {
            network.start(replica, records, blocks);
        }
        network.submit("b");
        network.run(2 * TIMEOUT, never);
        for replica in 0..4 {
            assert_eq!(network.transactions(replica), 2, "{chain}, replica {replica}");
        }
        network.agreed();
    }
}

#[test]
fn a_proposal_is_said_again_when_votes_are_late_and_not_when_it_has_just_left() {
    for chain in BOTH {
        let mut network = Network::new(4, chain);
        let proposals = |network: &Network| network.member(0).sent["proposal"];
        let mut votes = Vec::new();
        let mut keep = |letter: &Letter| {
            let vote = letter.is("vote");
            votes.extend(vote.then(|| letter.clone()));
            vote
        };
        network.submit("a");
        network.run(TIMEOUT / 8, &mut keep);
        assert_eq!(proposals(&network), 3, "{chain}");
        for Letter { from, to, sealed } in votes {
            network.feed(to.index(), Input::Message { from, message: Verified::for_tests(sealed) });
        }
        let vote = |letter: &Letter| letter.is("vote");
        network.run(TIMEOUT / 8, vote);
        assert_eq!(proposals(&network), 6, "{chain}: the timer rang, and the second proposal is young");
        network.run(TIMEOUT / 4, vote);
        assert_eq!(proposals(&network), 9, "{chain}: nobody has voted for it");
    }
}
