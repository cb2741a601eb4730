//! A quorum's words that differ, under one authenticator: what a timeout certificate is made of.

use super::certificates::statement;
use super::members::Keys;
use super::operation::{Group, Operation, Prepared};
use crypto::{FaultModel, ReplicaId, Scheme, Share, Statement};

/// Sizes of committees.
const SIZES: [usize; 3] = [4, 16, 64];

pub fn operations() -> Vec<Operation> {
    let both = [Scheme::Threshold, Scheme::Ed25519];
    let each = both.into_iter().flat_map(|scheme| SIZES.map(|replicas| (scheme, replicas)));
    each.flat_map(|(scheme, replicas)| [aggregate(scheme, replicas), verify(scheme, replicas)]).collect()
}

/// The words of exactly a quorum. When a view ends, some replicas have seen its last certificate and some have not.
fn words(keys: &Keys) -> Vec<(ReplicaId, Statement, Share)> {
    let word = |place: usize| {
        let statement = statement(1 + (place % 2) as u64);
        (ReplicaId(place as u16), statement, keys.signers[place].sign(&statement))
    };
    (0..keys.quorum.quorum()).map(word).collect()
}

fn aggregate(scheme: Scheme, replicas: usize) -> Operation {
    Operation::new(Group::Crypto, format!("aggregate/{scheme}/{replicas}"), "aggregate", move || {
        let keys = Keys::deal(replicas, FaultModel::Byzantine, scheme);
        let words = words(&keys);
        Prepared::timed(1, move || keys.quorum.aggregate(&words).expect("the shares are good"))
    })
}

fn verify(scheme: Scheme, replicas: usize) -> Operation {
    Operation::new(Group::Crypto, format!("verify-aggregate/{scheme}/{replicas}"), "aggregate", move || {
        let keys = Keys::deal(replicas, FaultModel::Byzantine, scheme);
        let words = words(&keys);
        let aggregate = keys.quorum.aggregate(&words).expect("the shares are good");
        let said: Vec<(ReplicaId, Statement)> =
            words.into_iter().map(|(signer, statement, _)| (signer, statement)).collect();
        Prepared::timed(1, move || keys.quorum.verify_aggregate(&said, &aggregate).expect("it is good"))
    })
}
