//! What proves that a replica has lied, and what does not: with real keys, from what the genesis says alone.

use bft_core::codec;
use bft_core::committee::{Committee, StatementDomain, Trust};
use bft_core::envelope::Seal;
use bft_core::evidence::{Evidence, EvidenceError, verify};
use bft_core::ledger::LedgerEntry;
use crypto::{
    Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier, ReplicaId, Share,
    Signature, Statement, StatementKind, trusted_dealer,
};
use pbft::{COMMIT, Message, NEW_VIEW, PREPARE, VIEW_CHANGE};

const DOMAIN: StatementDomain = StatementDomain {
    chain: Digest([7; 32]),
    epoch: 1,
    protocol: ProtocolTag::PBFT,
    fault_model: FaultModel::Byzantine,
};
const LIAR: ReplicaId = ReplicaId(2);
const A: Digest = Digest([0xa; 32]);
const B: Digest = Digest([0xb; 32]);

/// The kinds with their names, and whether they carry a share; else the replica's own signature.
const KINDS: [(StatementKind, &str, bool); 5] = [
    (StatementKind::CHECKPOINT, "checkpoint", true),
    (PREPARE, "prepare", true),
    (COMMIT, "commit", true),
    (VIEW_CHANGE, "view-change", false),
    (NEW_VIEW, "new-view", false),
];

struct Rig {
    trust: Trust,
    signers: Vec<QuorumSigner>,
    identities: Vec<IdentitySecret>,
}

fn rigs() -> [Rig; 2] {
    let identities: Vec<IdentitySecret> = (0..4).map(|id| IdentitySecret::from_seed([id; 32])).collect();
    let public: Vec<_> = identities.iter().map(IdentitySecret::public).collect();
    let committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
    let zero = Digest::ZERO;
    let genesis_entry = LedgerEntry {
        epoch: 1,
        height: 0,
        block: zero,
        time: 0,
        receipts_root: zero,
        state_root: Some(zero),
        next_epoch: None,
        previous: zero,
    };
    let rig = |quorum, signers| {
        let trust =
            Trust { domain: DOMAIN, committee, identities: public.clone().into(), quorum, genesis_entry };
        Rig { trust, signers, identities: identities.clone() }
    };
    let (keys, shares) = trusted_dealer([3; 32], 4, 3).unwrap();
    [
        rig(
            QuorumVerifier::ed25519(public.clone(), 3).unwrap(),
            identities.iter().cloned().map(QuorumSigner::Ed25519).collect(),
        ),
        rig(
            QuorumVerifier::threshold(keys).unwrap(),
            shares
                .into_iter()
                .zip(identities.iter().cloned())
                .map(|(share, own)| QuorumSigner::Threshold(share, own))
                .collect(),
        ),
    ]
}

impl Rig {
    fn sealed(&self, by: ReplicaId, statement: Statement, shared: bool) -> (Statement, Seal) {
        let seal = if shared {
            Seal::Share(self.signers[by.index()].sign(&statement))
        } else {
            Seal::Signature(self.identities[by.index()].sign(&statement.encode()))
        };
        (statement, seal)
    }

    /// The liar's two words, the first one about A in view 3 and, but for view statements, at height 9.
    fn pair(&self, kind: StatementKind, shared: bool, second: impl FnOnce(&mut Statement)) -> Evidence {
        let height = if [VIEW_CHANGE, NEW_VIEW].contains(&kind) { 0 } else { 9 };
        let statement = DOMAIN.statement(kind, 3, height, A);
        let mut other = Statement { digest: B, ..statement };
        second(&mut other);
        Evidence::new(LIAR, self.sealed(LIAR, statement, shared), self.sealed(LIAR, other, shared))
    }

    fn verdict(&self, evidence: &Evidence) -> Result<&'static str, EvidenceError> {
        verify::<Message>(evidence, &self.trust)
    }
}

// threat 1, 22: whoever has the genesis can check it.
#[test]
fn two_values_in_one_place_prove_a_lie_under_either_scheme() {
    for rig in rigs() {
        for (kind, name, shared) in KINDS {
            let evidence = rig.pair(kind, shared, |_| {});
            assert_eq!(rig.verdict(&evidence), Ok(name));
            let bytes = codec::encode(&evidence);
            assert_eq!(codec::decode::<Evidence>(&bytes, 1024).as_ref(), Ok(&evidence));
            let turned =
                Evidence { first: evidence.second.clone(), second: evidence.first.clone(), ..evidence };
            assert_eq!(rig.verdict(&turned), Err(EvidenceError::Order), "one form only");
        }
    }
}

#[test]
fn what_an_honest_replica_may_sign_proves_nothing() {
    for rig in rigs() {
        for (kind, _, shared) in KINDS {
            let nothing = Err(EvidenceError::NoContradiction(LIAR));
            assert_eq!(rig.verdict(&rig.pair(kind, shared, |s| s.digest = A)), nothing, "said twice");
            assert_eq!(rig.verdict(&rig.pair(kind, shared, |s| s.view += 1)), nothing, "another view");
            assert_eq!(rig.verdict(&rig.pair(kind, shared, |s| s.height += 1)), nothing, "another height");
            for (other, _, _) in KINDS.iter().filter(|(other, _, _)| *other != kind) {
                assert_eq!(rig.verdict(&rig.pair(kind, shared, |s| s.kind = *other)), nothing, "{other:?}");
            }
            for unknown in [0, 2, 15, 20, 255] {
                let mut evidence = rig.pair(StatementKind(unknown), shared, |_| {});
                assert_eq!(rig.verdict(&evidence), nothing, "kind {unknown}");
                evidence.first.0.kind = kind;
                assert_eq!(rig.verdict(&evidence), nothing);
            }
        }
    }
}

// threat 31: neither another network's nor another epoch's or protocol's statements count.
#[test]
fn statements_of_elsewhere_prove_nothing() {
    for rig in rigs() {
        let changes: [fn(&mut Statement); 4] = [
            |s| s.chain = Digest([8; 32]),
            |s| s.epoch = 2,
            |s| s.protocol = ProtocolTag::HOTSTUFF,
            |s| s.fault_model = FaultModel::Crash,
        ];
        for change in changes {
            let one = rig.pair(PREPARE, true, change);
            assert!(matches!(rig.verdict(&one), Err(EvidenceError::Foreign { .. })), "one of them");
            let sealed = |mut statement: Statement| {
                change(&mut statement);
                rig.sealed(LIAR, statement, true)
            };
            let both = rig.pair(PREPARE, true, |_| {});
            let both = Evidence::new(LIAR, sealed(both.first.0), sealed(both.second.0));
            assert!(matches!(rig.verdict(&both), Err(EvidenceError::Foreign { .. })), "both");
        }
    }
}

#[test]
fn nobody_is_accused_by_what_another_one_signed() {
    for rig in rigs() {
        for (kind, _, shared) in KINDS {
            let good = rig.pair(kind, shared, |_| {});
            for accused in [ReplicaId(0), ReplicaId(1), ReplicaId(3)] {
                let framed = Evidence { accused, ..good.clone() };
                assert_eq!(rig.verdict(&framed), Err(EvidenceError::Seal(A, accused)));
                // One word of its own, and one that somebody else signed for it.
                let own = rig.sealed(accused, good.first.0, shared);
                let framed = Evidence { accused, first: own, second: good.second.clone() };
                assert_eq!(rig.verdict(&framed), Err(EvidenceError::Seal(B, accused)));
            }
            let stranger = Evidence { accused: ReplicaId(4), ..good.clone() };
            assert_eq!(rig.verdict(&stranger), Err(EvidenceError::Stranger(ReplicaId(4))));
            for seal in [
                Seal::None,
                Seal::Share(Share::unsigned([7; 48])),
                Seal::Signature(Signature([7; 64])),
                good.first.1.clone(),
            ] {
                let forged = Evidence { second: (good.second.0, seal), ..good.clone() };
                assert_eq!(rig.verdict(&forged), Err(EvidenceError::Seal(B, LIAR)));
            }
            let mut moved = good.clone();
            moved.first.0.view += 1;
            moved.second.0.view += 1;
            assert_eq!(rig.verdict(&moved), Err(EvidenceError::Seal(A, LIAR)), "of another view");
        }
    }
}
