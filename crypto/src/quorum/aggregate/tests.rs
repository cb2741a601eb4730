//! Words of many, honest and forged, under every scheme.

use proptest::prelude::*;

use super::*;
use crate::Scheme;
use crate::quorum::tests::{COMMITTEES, Committee, bytes, identity, ids, minus, outside, plus, statement};

type Word = (ReplicaId, Statement);

/// What each signer says: that its high QC is of this view. In the tests a statement's height stands for it.
fn words(said: &[(u16, u64)]) -> Vec<Word> {
    said.iter().map(|(signer, height)| (ReplicaId(*signer), statement(*height))).collect()
}

impl Committee {
    /// Each word with its signer's share.
    fn signed(&self, words: &[Word]) -> Vec<(ReplicaId, Statement, Share)> {
        let sign = |(signer, statement): &Word| {
            let share = self.share(signer.0, statement).1;
            (*signer, *statement, share)
        };
        words.iter().map(sign).collect()
    }

    fn aggregate(&self, words: &[Word]) -> Aggregate {
        self.verifier.aggregate(&self.signed(words)).unwrap()
    }
}

const SAID: [(u16, u64); 5] = [(0, 7), (2, 9), (3, 7), (5, 8), (6, 7)];

fn named(culprits: &[u16]) -> Result<Aggregate, CombineError> {
    Err(CombineError::Culprits(ids(culprits)))
}

#[test]
fn any_quorum_or_more_aggregates_whatever_each_says() {
    let alike = [(0, 7), (1, 7), (2, 7), (3, 7), (4, 7)];
    let different = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)];
    let all = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 5), (6, 1)];
    for committee in COMMITTEES.iter() {
        for said in [&SAID[..], &alike, &different, &all] {
            let words = words(said);
            let aggregate = committee.aggregate(&words);
            assert_eq!(committee.verifier.verify_aggregate(&words, &aggregate), Ok(()), "{aggregate:?}");
        }
    }
}

/// More than eight statements: blst takes the pairings eight at a time.
#[test]
fn sizes_of_one_and_of_many_aggregate() {
    for (replicas, quorum) in [(1, 1), (4, 3), (4, 4), (31, 21)] {
        for committee in [Committee::threshold(replicas, quorum), Committee::ed25519(replicas, quorum)] {
            let said: Vec<(u16, u64)> = (0..quorum as u16).map(|i| (i, u64::from(i) / 2)).collect();
            let words = words(&said);
            let aggregate = committee.aggregate(&words);
            assert_eq!(committee.verifier.verify_aggregate(&words, &aggregate), Ok(()));
            let mut forged = words.clone();
            forged[quorum - 1].1 = statement(99);
            assert!(committee.verifier.verify_aggregate(&forged, &aggregate).is_err());
        }
    }
}

#[test]
fn an_aggregate_is_for_no_other_words() {
    for committee in COMMITTEES.iter() {
        let words = words(&SAID);
        let aggregate = committee.aggregate(&words);
        let refused = |what: &str, words: &[Word]| {
            let verdict = committee.verifier.verify_aggregate(words, &aggregate);
            // A list of another length is refused for that.
            let expected = matches!(verdict, Err(CertificateError::Signature(_)))
                || matches!(
                    (&verdict, &aggregate),
                    (Err(CertificateError::Count { .. }), Aggregate::Ed25519(_))
                );
            assert!(expected, "{what}: {verdict:?}");
        };
        let six = {
            let mut six = words.clone();
            six.insert(1, (ReplicaId(1), statement(7)));
            six
        };
        refused("a word that nobody said", &six);
        let mut swapped = words.clone();
        (swapped[0].1, swapped[1].1) = (words[1].1, words[0].1);
        refused("statements of two signers, swapped", &swapped);
        let mut other = words.clone();
        other[1].1 = statement(7);
        refused("a signer said something else", &other);
        let mut other = words.clone();
        other[1].0 = ReplicaId(1);
        refused("somebody else said it", &other);
        let mut other = words.clone();
        other[0].1.epoch += 1;
        refused("in another epoch", &other);
        let mut other = words.clone();
        other[0].1.view += 1;
        refused("in another view", &other);

        // Five of six who spoke.
        let aggregate = committee.aggregate(&six);
        assert_eq!(committee.verifier.verify_aggregate(&six, &aggregate), Ok(()));
        assert!(committee.verifier.verify_aggregate(&words, &aggregate).is_err(), "a signer is missing");
    }
}

#[test]
fn threat_52_words_out_of_order_doubled_or_of_strangers() {
    for committee in COMMITTEES.iter() {
        let good = words(&SAID);
        let aggregate = committee.aggregate(&good);
        let both = |said: &[(u16, u64)], signer: u16| {
            let words = words(said);
            let shares: Vec<_> = words
                .iter()
                .map(|(signer, statement)| (*signer, *statement, committee.share(0, statement).1))
                .collect();
            let signer = ReplicaId(signer);
            assert_eq!(committee.verifier.aggregate(&shares), Err(CombineError::Order(signer)));
            let verdict = committee.verifier.verify_aggregate(&words, &aggregate);
            assert_eq!(verdict, Err(CertificateError::Order(signer)));
        };
        both(&[(2, 9), (0, 7), (3, 7), (5, 8), (6, 7)], 0);
        both(&[(0, 7), (2, 9), (3, 7), (6, 7), (5, 8)], 5);
        // One signer says two things, or one thing twice.
        both(&[(0, 7), (2, 9), (3, 7), (5, 8), (5, 7)], 5);
        both(&[(0, 7), (0, 7), (2, 9), (3, 7), (5, 8), (6, 7)], 0);

        let strangers = words(&[(0, 7), (2, 9), (3, 7), (5, 8), (7, 7), (u16::MAX, 7)]);
        let mut shares = committee.signed(&strangers[..4]);
        shares
            .extend(strangers[4..].iter().map(|(signer, word)| (*signer, *word, committee.share(6, word).1)));
        assert_eq!(committee.verifier.aggregate(&shares), named(&[7, u16::MAX]));
        let verdict = committee.verifier.verify_aggregate(&strangers, &aggregate);
        assert_eq!(verdict, Err(CertificateError::Stranger(ReplicaId(7))));
    }
}

#[test]
fn threat_55_fewer_words_than_a_quorum_are_refused() {
    for committee in COMMITTEES.iter() {
        let five = words(&SAID);
        let aggregate = committee.aggregate(&five);
        for have in [0, 1, 4] {
            let few = CombineError::TooFew { have, need: 5 };
            assert_eq!(committee.verifier.aggregate(&committee.signed(&five[..have])), Err(few));
            let verdict = committee.verifier.verify_aggregate(&five[..have], &aggregate);
            assert_eq!(verdict, Err(CertificateError::Count { have, need: 5 }));
        }
    }
}

/// The keys of the shares depend on each other: without weights, three of five replicas would speak for the others.
#[test]
fn threat_55_shares_of_fewer_than_a_quorum_do_not_speak_for_others() {
    let committee = Committee::threshold(5, 4);
    let said = statement(7);
    let share = |signer| bytes(&committee.share(signer, &said).1);
    let times = |count: usize, point: &[u8; 48]| (1..count).fold(*point, |sum, _| plus(&sum, point));

    // r1, r2 and r3 said it. What they said gives the sum of the shares of r0 and r4: the fourth difference of a cubic is 0.
    let outer = plus(&times(4, &share(1)), &plus(&minus(&times(6, &share(2))), &times(4, &share(3))));
    assert_eq!(outer, plus(&share(0), &share(4)), "the attack works where the sum is a plain one");

    // So a plain sum over four signers is within reach of three, and is refused.
    let forged = Aggregate::Threshold(plus(&outer, &plus(&share(1), &share(2))));
    let words = words(&[(0, 7), (1, 7), (2, 7), (4, 7)]);
    let verdict = committee.verifier.verify_aggregate(&words, &forged);
    assert_eq!(verdict, Err(CertificateError::Signature(None)));
    assert_eq!(committee.verifier.verify_aggregate(&words, &committee.aggregate(&words)), Ok(()));
}

/// The weights of the shares are part of the wire format.
#[test]
fn threat_103_the_forms_on_the_wire_are_pinned() {
    for committee in COMMITTEES.iter() {
        let aggregate = committee.aggregate(&words(&SAID));
        let encoded = postcard::to_allocvec(&aggregate).unwrap();
        let (length, authenticators) = match committee.verifier.scheme() {
            Scheme::Threshold => (1 + 48, 1),
            Scheme::Ed25519 => (1 + 1 + 5 * 64, 5),
            Scheme::None => unreachable!("nothing is signed there"),
        };
        assert_eq!((encoded.len(), encoded[0]), (length, committee.verifier.scheme() as u8));
        assert_eq!(aggregate.authenticators(), authenticators);
        assert_eq!(postcard::from_bytes::<Aggregate>(&encoded), Ok(aggregate));
    }
    let Aggregate::Threshold(point) = COMMITTEES[0].aggregate(&words(&SAID)) else { panic!("not a point") };
    let text: String = point.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        text,
        "af6dda3645e7815edf75ae1f5a55ec1de81745443d29c1d997312619fce83f1540618e52c056f69ea797cb90ccfef30e"
    );
}

#[test]
fn threat_50_51_points_that_are_no_signature_are_refused() {
    let committee = &COMMITTEES[0];
    let words = words(&SAID);
    let Aggregate::Threshold(good) = committee.aggregate(&words) else { panic!("not a point") };
    for bad in [identity(), outside(), plus(&good, &outside()), [0xff; 48]] {
        let verdict = committee.verifier.verify_aggregate(&words, &Aggregate::Threshold(bad));
        assert_eq!(verdict, Err(CertificateError::Point));
        let mut shares = committee.signed(&words);
        shares[3].2 = Share::unsigned(bad);
        assert_eq!(committee.verifier.aggregate(&shares), named(&[5]));
    }
    // Two shares whose parts outside the subgroup cancel in a plain sum.
    let mut shares = committee.signed(&words);
    shares[1].2 = Share::unsigned(plus(&bytes(&shares[1].2), &outside()));
    shares[2].2 = Share::unsigned(plus(&bytes(&shares[2].2), &minus(&outside())));
    assert_eq!(committee.verifier.aggregate(&shares), named(&[2, 3]));
}

/// Two liars whose errors cancel in a plain sum, and what the other signed in a third one's name.
#[test]
fn threat_53_whoever_spoils_an_aggregate_is_named_and_the_rest_goes_on() {
    let all = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 5), (6, 1)];
    for committee in COMMITTEES.iter() {
        let words = words(&all);
        let mut shares = committee.signed(&words);
        shares[1].2 = committee.share(1, &statement(9)).1;
        shares[4].2 = shares[5].2.clone();
        assert_eq!(committee.verifier.aggregate(&shares), named(&[1, 4]));
        shares.retain(|(signer, _, _)| ![1, 4].contains(&signer.0));
        let aggregate = committee.verifier.aggregate(&shares).unwrap();
        let rest: Vec<Word> = words.into_iter().filter(|(signer, _)| ![1, 4].contains(&signer.0)).collect();
        assert_eq!(committee.verifier.verify_aggregate(&rest, &aggregate), Ok(()));
    }
    let mut shares = COMMITTEES[0].signed(&words(&all));
    let error = bytes(&shares[0].2);
    shares[2].2 = Share::unsigned(plus(&bytes(&shares[2].2), &error));
    shares[3].2 = Share::unsigned(plus(&bytes(&shares[3].2), &minus(&error)));
    assert_eq!(COMMITTEES[0].verifier.aggregate(&shares), named(&[2, 3]));
}

#[test]
fn an_aggregate_of_another_scheme_is_refused() {
    for (committee, other) in [(&COMMITTEES[0], &COMMITTEES[1]), (&COMMITTEES[1], &COMMITTEES[0])] {
        let words = words(&SAID);
        let wrong = CertificateError::Scheme(committee.verifier.scheme());
        assert_eq!(committee.verifier.verify_aggregate(&words, &other.aggregate(&words)), Err(wrong));
        let mut shares = committee.signed(&words);
        shares[2].2 = other.share(3, &words[2].1).1;
        assert_eq!(committee.verifier.aggregate(&shares), named(&[3]));
    }
}

#[test]
fn a_list_is_exact() {
    let committee = &COMMITTEES[1];
    let words = words(&SAID);
    let Aggregate::Ed25519(good) = committee.aggregate(&words) else { panic!("not a list") };
    let verdict = |list| committee.verifier.verify_aggregate(&words, &Aggregate::Ed25519(list));
    let count = |have| Err(CertificateError::Count { have, need: 5 });
    assert_eq!(verdict(good[..4].to_vec()), count(4));
    assert_eq!(verdict([&good[..], &good[..1]].concat()), count(6));
    let mut swapped = good.clone();
    swapped.swap(2, 3);
    assert_eq!(verdict(swapped), Err(CertificateError::Signature(Some(ReplicaId(3)))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Aggregating says what checking each share alone says, whatever is signed in whose name; and what was aggregated
    /// verifies for its own words and for no others.
    #[test]
    fn aggregates_agree_with_single_shares(
        signers in prop::sample::subsequence(vec![0_u16, 1, 2, 3, 4, 5, 6], 5..=7),
        said in prop::collection::vec(0_u64..4, 7),
        signed_by in prop::collection::vec(prop_oneof![9 => Just(0_u16), 1 => 1_u16..7], 7),
        signed_what in prop::collection::vec(prop_oneof![9 => Just(0_u64), 1 => 1_u64..4], 7),
        changed in any::<prop::sample::Index>(),
    ) {
        let words: Vec<Word> =
            signers.iter().zip(&said).map(|(signer, height)| (ReplicaId(*signer), statement(*height))).collect();
        for committee in COMMITTEES.iter() {
            let shares: Vec<(ReplicaId, Statement, Share)> = words
                .iter()
                .enumerate()
                .map(|(at, (signer, word))| {
                    let by = (signer.0 + signed_by[at]) % 7;
                    (*signer, *word, committee.share(by, &statement((word.height + signed_what[at]) % 4)).1)
                })
                .collect();
            let bad: Vec<ReplicaId> = shares
                .iter()
                .filter(|(signer, word, share)| committee.verifier.verify_share(*signer, word, share).is_err())
                .map(|(signer, _, _)| *signer)
                .collect();
            match committee.verifier.aggregate(&shares) {
                Err(error) => {
                    prop_assert!(!bad.is_empty());
                    prop_assert_eq!(error, CombineError::Culprits(bad));
                }
                Ok(aggregate) => {
                    prop_assert_eq!(bad, vec![]);
                    prop_assert_eq!(committee.verifier.verify_aggregate(&words, &aggregate), Ok(()));
                    let mut others = words.clone();
                    others[changed.index(words.len())].1.height += 1;
                    prop_assert!(committee.verifier.verify_aggregate(&others, &aggregate).is_err());
                }
            }
        }
    }
}
