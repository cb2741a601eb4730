//! What a protocol is expected to send, sign and verify, term by term.
//!
//! n replicas; a quorum of q; a certificate has a authenticators: 1 as a threshold signature, q as a list. A share c of all blocks is
//! certified as a checkpoint. PBFT: Castro and Liskov, OSDI 1999, section 4.2; collectors: Gueta and others, DSN 2019; HotStuff: Yin and others,
//! PODC 2019, section 5; Raft: Ongaro's dissertation, 3.5 and 3.4. Checkpoints are Quorate's (`bft_core::host`).

use crate::variant::Variant;
use bft_core::committee::Committee;
use crypto::Scheme;
use sim::complexity::Case;

/// A number, and how it comes about.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// In n, q, a, c.
    pub text: &'static str,
    /// Its value.
    pub value: f64,
    /// Whether there may be more.
    pub at_least: bool,
}

/// Messages of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Their name in the accounting.
    pub kind: &'static str,
    /// How many; none where they travel with others.
    pub messages: Option<Formula>,
    /// The signatures and certificates in them.
    pub authenticators: Formula,
}

/// What the formulas are about.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    n: f64,
    a: f64,
    /// Signatures that a replica makes for a promise.
    s: f64,
    c: f64,
    scheme: Scheme,
}

impl Size {
    /// A committee, its scheme, and the share of blocks that are certified.
    pub fn new(variant: Variant, scheme: Scheme, replicas: usize, certified: f64) -> Size {
        let fault_model = engines::fault_model(variant.protocol());
        let q = Committee { replicas, fault_model }.quorum() as f64;
        let a = if scheme == Scheme::Ed25519 { q } else { 1.0 };
        // A threshold share carries its signer's own signature.
        let s = if scheme == Scheme::Threshold { 2.0 } else { 1.0 };
        Size { n: replicas as f64, a, s, c: certified, scheme }
    }
}

fn is(text: &'static str, value: f64) -> Formula {
    Formula { text, value, at_least: false }
}

fn term(kind: &'static str, messages: Formula, authenticators: Formula) -> Term {
    Term { kind, messages: Some(messages), authenticators }
}

/// Messages that carry one authenticator each.
fn signed(kind: &'static str, messages: Formula) -> Term {
    Term { kind, authenticators: messages.clone(), messages: Some(messages) }
}

/// What a case is made of. What is not here depends on time and chance, and is shown without a formula.
pub fn terms(variant: Variant, case: Case, size: Size) -> Vec<Term> {
    match case {
        Case::Block => block(variant, size),
        Case::Alone => alone(variant, size),
        Case::LeaderFailure => leader_failure(variant, size),
        Case::CatchUp => catch_up(variant, size),
    }
}

fn block(variant: Variant, size: Size) -> Vec<Term> {
    let Size { n, a, c, .. } = size;
    let m = n - 1.0;
    let mut terms = proposing(variant, size);
    if variant != Variant::Raft {
        terms.push(Term { kind: "checkpoint-votes", messages: None, authenticators: is("c(n−1)", c * m) });
        terms.push(term("checkpoint-certificate", is("c(n−1)", c * m), is("ac(n−1)", a * c * m)));
    }
    terms
}

/// One block, but for its checkpoint.
fn proposing(variant: Variant, Size { n, a, .. }: Size) -> Vec<Term> {
    let m = n - 1.0;
    let each = || is("n−1", m);
    match variant {
        Variant::Pbft => vec![
            signed("pre-prepare", each()),
            signed("prepare", is("(n−1)²", m * m)),
            signed("commit", is("n(n−1)", n * m)),
        ],
        Variant::PbftCollector => vec![
            signed("pre-prepare", each()),
            signed("prepare", each()),
            term("prepared", each(), is("a(n−1)", a * m)),
            signed("commit", each()),
            term("committed", each(), is("a(n−1)", a * m)),
        ],
        Variant::HotstuffThree | Variant::HotstuffTwo => {
            vec![term("proposal", each(), is("(1+a)(n−1)", (1.0 + a) * m)), signed("vote", each())]
        }
        Variant::Raft => vec![term("append", each(), is("0", 0.0)), term("appended", each(), is("0", 0.0))],
    }
}

fn alone(variant: Variant, size: Size) -> Vec<Term> {
    let Size { n, a, .. } = size;
    let m = n - 1.0;
    let mut terms = match variant {
        Variant::Pbft | Variant::PbftCollector | Variant::Raft => proposing(variant, size),
        // Empty blocks above it until it is committed, and then the last certificate to all.
        Variant::HotstuffThree => vec![
            term("proposal", is("3(n−1)", 3.0 * m), is("3(1+a)(n−1)", 3.0 * (1.0 + a) * m)),
            signed("vote", is("3(n−1)", 3.0 * m)),
            term("certificate", is("n−1", m), is("a(n−1)", a * m)),
        ],
        Variant::HotstuffTwo => vec![
            term("proposal", is("2(n−1)", 2.0 * m), is("2(1+a)(n−1)", 2.0 * (1.0 + a) * m)),
            signed("vote", is("2(n−1)", 2.0 * m)),
            term("certificate", is("n−1", m), is("a(n−1)", a * m)),
        ],
    };
    if variant != Variant::Raft {
        terms.push(signed("checkpoint-votes", is("n−1", m)));
        terms.push(term("checkpoint-certificate", is("n−1", m), is("a(n−1)", a * m)));
    }
    terms
}

fn leader_failure(variant: Variant, Size { n, a, .. }: Size) -> Vec<Term> {
    let m = n - 1.0;
    let nothing = || is("0", 0.0);
    match variant {
        // Each of those that are left to all, its checkpoint certificate with it.
        Variant::Pbft | Variant::PbftCollector => vec![
            term("view-change", is("(n−1)²", m * m), is("(1+a)(n−1)²", (1.0 + a) * m * m)),
            signed("new-view", is("n−1", m)),
        ],
        // Each of those that are left to the next leader, which is one of them, with the highest certificate. It proposes with what they make.
        Variant::HotstuffThree | Variant::HotstuffTwo => {
            vec![term("timeout", is("n−2", n - 2.0), is("(1+a)(n−2)", (1.0 + a) * (n - 2.0)))]
        }
        Variant::Raft => vec![
            term("pre-vote-request", is("n−1", m), nothing()),
            term("pre-vote", is("n−2", n - 2.0), nothing()),
            term("vote-request", is("n−1", m), nothing()),
            term("vote", is("n−2", n - 2.0), nothing()),
        ],
    }
}

fn catch_up(variant: Variant, Size { n, a, .. }: Size) -> Vec<Term> {
    let m = n - 1.0;
    match variant {
        // Who starts asks everybody for what it has promised, lest its disk be an old one.
        Variant::Pbft | Variant::PbftCollector | Variant::HotstuffThree | Variant::HotstuffTwo => vec![
            term("fetch-promises", is("n−1", m), is("0", 0.0)),
            // With the certificate each shows what it holds of the asker's promises.
            term("promises", is("n−1", m), Formula { at_least: true, ..is("a(n−1)", a * m) }),
        ],
        Variant::Raft => Vec::new(),
    }
}

/// Signatures made, authenticators verified and pairings evaluated for a block or a transaction alone, everybody's together.
pub fn work(variant: Variant, case: Case, size: Size) -> Option<[Formula; 3]> {
    let Size { n, s, a, scheme, .. } = size;
    // A transaction alone is certified; of blocks, a share is.
    let c = if case == Case::Alone { 1.0 } else { size.c };
    let (sealed, combined, texts) = match (variant, case) {
        (_, Case::LeaderFailure | Case::CatchUp) => return None,
        (Variant::Raft, Case::Block | Case::Alone) => (0.0, 0.0, ["0", "0", "0"]),
        (Variant::Pbft, Case::Block | Case::Alone) => {
            ((2.0 + c) * n, (1.0 + c) * n, ["s(2+c)n", "a(1+c)n", "2(1+c)n"])
        }
        // Both certificates are verified by all.
        (Variant::PbftCollector, Case::Block | Case::Alone) => {
            ((2.0 + c) * n, (2.0 + c) * n, ["s(2+c)n", "a(2+c)n", "2(2+c)n"])
        }
        (Variant::HotstuffThree | Variant::HotstuffTwo, Case::Block) => {
            ((1.0 + c) * n, (1.0 + c) * n, ["s(1+c)n", "a(1+c)n", "2(1+c)n"])
        }
        (Variant::HotstuffThree, Case::Alone) => (4.0 * n, 4.0 * n, ["s(3+c)n", "a(3+c)n", "2(3+c)n"]),
        (Variant::HotstuffTwo, Case::Alone) => (3.0 * n, 3.0 * n, ["s(2+c)n", "a(2+c)n", "2(2+c)n"]),
    };
    let pairings = if scheme == Scheme::Threshold { is(texts[2], 2.0 * combined) } else { is("0", 0.0) };
    Some([is(texts[0], s * sealed), is(texts[1], a * combined), pairings])
}

/// Message delays until a client has the receipt of a transaction alone: its question and the answer, the rounds of the protocol, and two
/// for the checkpoint.
pub fn delays(variant: Variant) -> Formula {
    match variant {
        Variant::Pbft => is("2+3+2", 7.0),
        Variant::PbftCollector => is("2+5+2", 9.0),
        Variant::HotstuffThree => is("2+7+2", 11.0),
        Variant::HotstuffTwo => is("2+5+2", 9.0),
        Variant::Raft => is("2+2", 4.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(variant: Variant, case: Case, n: usize) -> f64 {
        let size = Size::new(variant, Scheme::Threshold, n, 0.0);
        terms(variant, case, size).iter().filter_map(|term| term.messages.as_ref()).map(|m| m.value).sum()
    }

    /// The sums that the papers give.
    #[test]
    fn a_block_costs_what_the_papers_say() {
        for n in [4, 31, 100] {
            let others = n as f64 - 1.0;
            assert_eq!(messages(Variant::Pbft, Case::Block, n), 2.0 * n as f64 * others);
            assert_eq!(messages(Variant::PbftCollector, Case::Block, n), 5.0 * others);
            assert_eq!(messages(Variant::HotstuffThree, Case::Block, n), 2.0 * others);
            assert_eq!(messages(Variant::HotstuffTwo, Case::Block, n), 2.0 * others);
            assert_eq!(messages(Variant::Raft, Case::Block, n), 2.0 * others);
        }
    }

    #[test]
    fn a_list_has_as_many_authenticators_as_a_quorum_and_evaluates_no_pairing() {
        let size = |scheme| Size::new(Variant::HotstuffTwo, scheme, 7, 0.0);
        let proposal = |scheme| {
            let terms = terms(Variant::HotstuffTwo, Case::Block, size(scheme));
            terms.into_iter().find(|term| term.kind == "proposal").expect("it is one").authenticators.value
        };
        assert_eq!((proposal(Scheme::Threshold), proposal(Scheme::Ed25519)), (12.0, 36.0));
        let [_, _, pairings] = work(Variant::HotstuffTwo, Case::Block, size(Scheme::Ed25519)).expect("known");
        assert_eq!(pairings.value, 0.0);
    }
}
