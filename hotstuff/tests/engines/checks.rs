//! What the edge refuses: honest messages with one field changed, sealed again by their sender.

use crate::network::{DOMAIN, Letter, Network, TIMEOUT};
use bft_core::committee::StatementDomain;
use bft_core::engine::{CheckContext, Message as _};
use bft_core::envelope::{Seal, Sealed};
use bft_core::genesis::Chain;
use bft_core::types::View;
use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId};
use hotstuff::{Message, Node, Proposal, Qc, Tc, Timeout};

/// A run in which a leader died, and every message of it.
struct Heard {
    network: Network,
    letters: Vec<Letter>,
}

impl Heard {
    fn new() -> Heard {
        let mut network = Network::new(4, Chain::Two);
        let mut letters = Vec::new();
        let mut hear = |letter: &Letter| {
            letters.push(letter.clone());
            false
        };
        network.submit("a");
        network.settle(&mut hear);
        network.crash(0);
        network.submit("b");
        network.run(2 * TIMEOUT, &mut hear);
        Heard { network, letters }
    }

    fn find<T>(&self, pick: impl Fn(&Message) -> Option<T>) -> (ReplicaId, T) {
        let found = self.letters.iter().find_map(|letter| Some((letter.from, pick(&letter.sealed.message)?)));
        found.expect("the run has one")
    }

    fn proposal(&self, with_tc: bool) -> (ReplicaId, Proposal) {
        self.find(|message| match message {
            Message::Proposal(proposal)
                if proposal.tc.is_some() == with_tc && proposal.justify.proof.is_some() =>
            {
                Some(proposal.as_ref().clone())
            }
            _ => None,
        })
    }

    fn timeout(&self) -> (ReplicaId, Timeout) {
        self.find(|message| match message {
            Message::Timeout(timeout) if timeout.high.proof.is_some() => Some(timeout.clone()),
            _ => None,
        })
    }

    fn tc(&self) -> Tc {
        self.proposal(true).1.tc.expect("it was asked for")
    }

    /// A certificate that holds, of another node than `other`.
    fn another_certificate(&self, other: &Qc) -> Qc {
        let (_, found) = self.find(|message| {
            match message {
                Message::Proposal(proposal) => Some(proposal.justify.clone()),
                Message::Certificate(qc) => Some(qc.clone()),
                _ => None,
            }
            .filter(|qc| qc.proof.is_some() && qc.node != other.node)
        });
        found
    }

    /// Whether the edge lets a message pass: its bounds, and everything it has to prove.
    fn passes(&self, from: ReplicaId, message: Message) -> bool {
        let seal = self.network.seal(from.index(), &message);
        self.passes_sealed(from, Sealed { message, seal })
    }

    fn passes_sealed(&self, from: ReplicaId, sealed: Sealed<Message>) -> bool {
        let config = &self.network.config;
        let context = CheckContext {
            domain: DOMAIN,
            committee: config.committee,
            limits: config.limits,
            genesis_entry: config.genesis_entry,
        };
        let quorum = &self.network.quorum;
        sealed.message.check(from, &sealed.seal, &context).is_ok_and(|due| {
            due.certificates.iter().all(|(statement, proof)| quorum.verify(statement, proof).is_ok())
                && due.aggregates.iter().all(|(words, proof)| quorum.verify_aggregate(words, proof).is_ok())
        })
    }
}

type Change<T> = (&'static str, fn(&mut T));

/// Every change of a node's fields.
const NODE: [Change<Node>; 5] = [
    ("view", |node| node.view += 1),
    ("height", |node| node.height += 1),
    ("parent", |node| node.parent.0[0] ^= 1),
    ("parent's view", |node| node.parent_view = node.parent_view.wrapping_sub(1)),
    ("block", |node| node.block.0[0] ^= 1),
];

#[test]
fn threat_19_a_certificate_is_of_one_node_and_all_that_makes_it() {
    let heard = Heard::new();
    let (leader, proposal) = heard.proposal(false);
    let qc = proposal.justify.clone();
    assert!(heard.passes(leader, Message::Certificate(qc.clone())));
    for (field, change) in NODE {
        let mut changed = qc.clone();
        change(&mut changed.node);
        assert!(!heard.passes(leader, Message::Certificate(changed)), "{field}");
    }
    let unproven = Qc { proof: None, ..qc.clone() };
    assert!(!heard.passes(leader, Message::Certificate(unproven)), "only the genesis needs no proof");
    let of_genesis = Qc { node: Qc::genesis(&heard.network.config.genesis_entry).node, ..qc };
    assert!(!heard.passes(leader, Message::Certificate(of_genesis)), "and it has none");
}

#[test]
fn threat_19_a_proposal_stands_right_above_the_node_that_its_certificate_is_of() {
    let heard = Heard::new();
    let (leader, proposal) = heard.proposal(false);
    let (next, begins) = heard.proposal(true);
    assert!(heard.passes(leader, Message::Proposal(Box::new(proposal.clone()))));
    assert!(heard.passes(next, Message::Proposal(Box::new(begins.clone()))));
    let changes: [Change<Proposal>; 4] = [
        ("view", |proposal| proposal.view += 1),
        ("height below", |proposal| proposal.block.header.height -= 1),
        ("height above", |proposal| proposal.block.header.height += 1),
        ("height at the end", |proposal| proposal.block.header.height = u64::MAX),
    ];
    for (field, change) in changes {
        for (from, honest) in [(leader, &proposal), (next, &begins)] {
            let mut changed = honest.clone();
            change(&mut changed);
            assert!(!heard.passes(from, Message::Proposal(Box::new(changed))), "{field}");
        }
    }
    let other = heard.another_certificate(&proposal.justify);
    let moved = Proposal { justify: other, ..proposal.clone() };
    assert!(!heard.passes(leader, Message::Proposal(Box::new(moved))), "another node's certificate");
    let without = Proposal { tc: None, ..begins.clone() };
    assert!(!heard.passes(next, Message::Proposal(Box::new(without))), "a view that nothing begins");
    let both = Proposal { tc: begins.tc, ..proposal.clone() };
    assert!(!heard.passes(leader, Message::Proposal(Box::new(both))), "a view that two things begin");
    let impostor = ReplicaId((leader.0 + 1) % 4);
    assert!(!heard.passes(impostor, Message::Proposal(Box::new(proposal))), "not its view's leader");
}

#[test]
fn threat_20_a_timeout_proves_the_certificate_that_it_shows() {
    let heard = Heard::new();
    let (from, timeout) = heard.timeout();
    assert!(heard.passes(from, Message::Timeout(timeout.clone())));
    for (field, change) in NODE {
        let mut changed = timeout.clone();
        change(&mut changed.high.node);
        assert!(!heard.passes(from, Message::Timeout(changed)), "{field} of its certificate");
    }
    let unproven = Qc { proof: None, ..timeout.high.clone() };
    let changed = Timeout { high: unproven, ..timeout.clone() };
    assert!(!heard.passes(from, Message::Timeout(changed)), "no proof");
    let ends: [(View, &str); 3] = [
        (timeout.view + 1, "not the end of a tenure"),
        (u64::MAX, "no view is left after it"),
        (timeout.high.node.view - 1, "before its certificate"),
    ];
    for (view, why) in ends {
        assert!(!heard.passes(from, Message::Timeout(Timeout { view, ..timeout.clone() })), "{why}");
    }
}

#[test]
fn threat_20_a_timeout_certificate_proves_each_report_and_carries_the_highest() {
    let heard = Heard::new();
    let (from, tc) = (ReplicaId(1), heard.tc());
    let passes = |tc: Tc| heard.passes(from, Message::TimeoutCertificate(Box::new(tc)));
    assert!(passes(tc.clone()));
    let tenure_views = heard.network.config.limits.tenure_views;
    assert!(!passes(Tc { view: tc.view + tenure_views, ..tc.clone() }), "another tenure");
    assert!(!passes(Tc { view: tc.view - 1, ..tc.clone() }), "not the end of a tenure");
    let other = heard.another_certificate(&tc.high);
    assert!(!passes(Tc { high: other, ..tc.clone() }), "not the highest that is reported");
    assert!(!passes(Tc { high: Qc { proof: None, ..tc.high.clone() }, ..tc.clone() }), "unproven");
    let changes: [Change<Tc>; 6] = [
        ("a report less", |tc| tc.reports.truncate(2)),
        ("a report more", |tc| tc.reports.push((ReplicaId(0), 0))),
        ("out of order", |tc| tc.reports.reverse()),
        ("twice the same", |tc| tc.reports[1] = tc.reports[0]),
        ("no member", |tc| tc.reports[2].0 = ReplicaId(4)),
        ("another who says so", |tc| tc.reports[0].0 = ReplicaId(0)),
    ];
    for (what, change) in changes {
        let mut changed = tc.clone();
        change(&mut changed);
        assert!(!passes(changed), "{what}");
    }
    // The highest certificate stays; what another one said is lowered.
    let mut lowered = tc;
    lowered.reports[0].1 -= 1;
    assert!(!passes(lowered), "a report that nobody signed");
}

#[test]
fn votes_and_branches_have_a_shape() {
    let heard = Heard::new();
    let (from, vote) = heard.find(|message| match message {
        Message::Vote(node) => Some(*node),
        _ => None,
    });
    assert!(heard.passes(from, Message::Vote(vote)));
    assert!(!heard.passes(from, Message::Vote(Node { height: 0, ..vote })), "the genesis is not voted for");
    let backwards = Node { parent_view: vote.view, ..vote };
    assert!(!heard.passes(from, Message::Vote(backwards)), "a parent of the same view");
    let unsealed = Sealed { message: Message::Vote(vote), seal: Seal::None };
    assert!(!heard.passes_sealed(from, unsealed), "no share");
    let child = Node { view: vote.view + 1, parent: vote.digest(), parent_view: vote.view, ..vote };
    assert!(heard.passes(from, Message::Nodes(vec![child, vote])));
    assert!(!heard.passes(from, Message::Nodes(vec![vote, child])), "it does not link up");
    let most = heard.network.config.limits.reach() as usize;
    let mut branch = vec![vote];
    while branch.len() <= most {
        let last = branch[branch.len() - 1];
        branch.push(Node { view: last.view + 1, parent: last.digest(), parent_view: last.view, ..last });
    }
    branch.reverse();
    assert!(!heard.passes(from, Message::Nodes(branch.clone())), "longer than anybody needs");
    assert!(heard.passes(from, Message::Nodes(branch.split_off(1))));
}

#[test]
fn threat_31_a_vote_or_timeout_counts_in_its_own_epoch_chain_and_protocol_only() {
    let heard = Heard::new();
    let qc = heard.proposal(false).1.justify;
    let proof = qc.proof.expect("it is not the genesis");
    let tc = heard.tc();
    let elsewhere = [
        StatementDomain { epoch: 2, ..DOMAIN },
        StatementDomain { chain: Digest([8; 32]), ..DOMAIN },
        StatementDomain { protocol: ProtocolTag::PBFT, ..DOMAIN },
        StatementDomain { fault_model: FaultModel::Crash, ..DOMAIN },
    ];
    let quorum = &heard.network.quorum;
    let words = |domain: &StatementDomain| -> Vec<_> {
        let words = tc.reports.iter().map(|(signer, high)| {
            let high = Qc { node: Node { view: *high, ..tc.high.node }, proof: None };
            (*signer, Timeout { view: tc.view, high }.statement(domain))
        });
        words.collect()
    };
    assert!(quorum.verify(&qc.node.statement(&DOMAIN), &proof).is_ok());
    assert!(quorum.verify_aggregate(&words(&DOMAIN), &tc.proof).is_ok());
    for domain in elsewhere {
        assert!(quorum.verify(&qc.node.statement(&domain), &proof).is_err(), "{domain:?}");
        assert!(quorum.verify_aggregate(&words(&domain), &tc.proof).is_err(), "{domain:?}");
    }
}
