//! Shares, and the certificates that a quorum of them makes.

use super::members::Keys;
use super::operation::{Group, Operation, Prepared};
use crypto::{
    Certificate, Digest, FaultModel, ProtocolTag, ReplicaId, Scheme, Share, Statement, StatementKind,
};

/// Sizes of committees.
const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];

/// Certificates that are verified together.
const TOGETHER: [usize; 4] = [1, 2, 4, 16];

pub fn operations() -> Vec<Operation> {
    let both = [Scheme::Threshold, Scheme::Ed25519];
    let mut all: Vec<Operation> = both.into_iter().map(seal).collect();
    all.extend(both.into_iter().flat_map(|scheme| SIZES.map(|replicas| combine(scheme, replicas))));
    // The size of the committee is not in a threshold certificate.
    all.push(verify(Scheme::Threshold, 4));
    all.extend(SIZES.map(|replicas| verify(Scheme::Ed25519, replicas)));
    all.extend(TOGETHER.map(verify_together));
    all
}

/// What a replica signs of a block at a height.
pub(super) fn statement(height: u64) -> Statement {
    Statement {
        kind: StatementKind::FIRST_OF_PROTOCOL,
        chain: Digest([7; 32]),
        epoch: 1,
        protocol: ProtocolTag::HOTSTUFF,
        fault_model: FaultModel::Byzantine,
        view: height,
        height,
        digest: Digest([height as u8; 32]),
    }
}

/// The shares of the first replicas, exactly a quorum.
fn shares(keys: &Keys, statement: &Statement) -> Vec<(ReplicaId, Share)> {
    let share = |place: usize| (ReplicaId(place as u16), keys.signers[place].sign(statement));
    (0..keys.quorum.quorum()).map(share).collect()
}

fn certificate(keys: &Keys, statement: &Statement) -> Certificate {
    keys.quorum.combine(statement, &shares(keys, statement)).expect("the shares are good")
}

fn seal(scheme: Scheme) -> Operation {
    Operation::new(Group::Crypto, format!("seal/{scheme}"), "share", move || {
        let keys = Keys::deal(4, FaultModel::Byzantine, scheme);
        // Never one that was signed before, whose hash would be remembered.
        let mut heights = 1..;
        Prepared::timed(1, move || keys.signers[1].sign(&statement(heights.next().expect("there are more"))))
    })
}

fn combine(scheme: Scheme, replicas: usize) -> Operation {
    Operation::new(Group::Crypto, format!("combine/{scheme}/{replicas}"), "certificate", move || {
        let keys = Keys::deal(replicas, FaultModel::Byzantine, scheme);
        let statement = statement(1);
        let shares = shares(&keys, &statement);
        Prepared::timed(1, move || keys.quorum.combine(&statement, &shares).expect("the shares are good"))
    })
}

fn verify(scheme: Scheme, replicas: usize) -> Operation {
    let name = match scheme {
        Scheme::Threshold | Scheme::None => format!("verify/{scheme}"),
        Scheme::Ed25519 => format!("verify/{scheme}/{replicas}"),
    };
    Operation::new(Group::Crypto, name, "certificate", move || {
        let keys = Keys::deal(replicas, FaultModel::Byzantine, scheme);
        let statement = statement(1);
        let certificate = certificate(&keys, &statement);
        Prepared::timed(1, move || keys.quorum.verify(&statement, &certificate).expect("it is good"))
    })
}

/// Threshold certificates that wait at the edge at the same time. Lists are verified one by one, together or not.
fn verify_together(count: usize) -> Operation {
    Operation::new(Group::Crypto, format!("verify-together/threshold/{count}"), "certificate", move || {
        let keys = Keys::deal(4, FaultModel::Byzantine, Scheme::Threshold);
        let pair = |height| (statement(height), certificate(&keys, &statement(height)));
        let pairs: Vec<(Statement, Certificate)> = (1..=count as u64).map(pair).collect();
        Prepared::timed(count, move || {
            let verdicts = keys.quorum.verify_batch(&pairs);
            assert!(verdicts.iter().all(Result::is_ok));
        })
    })
}
