//! All quorum arithmetic.
//!
//! Byzantine faults: n ≥ 3f + 1, and two quorums of ⌊(n+f)/2⌋ + 1 share at least f + 1 replicas, so at least one honest
//! one (Castro and Liskov, OSDI 1999, section 4; the general form for n > 3f+1 is from Malkhi and Reiter 1998).
//! Crash faults: n ≥ 2f + 1, and two majorities share a replica (Ongaro 2014, section 3).

use crypto::FaultModel;

/// How many replicas may fail: ⌊(n−1)/3⌋ may lie, or ⌊(n−1)/2⌋ may crash.
pub fn faulty(replicas: usize, model: FaultModel) -> usize {
    match model {
        FaultModel::Byzantine => replicas.saturating_sub(1) / 3,
        FaultModel::Crash => replicas.saturating_sub(1) / 2,
    }
}

/// How many replicas decide: ⌊(n+f)/2⌋ + 1, or a majority.
pub fn quorum(replicas: usize, model: FaultModel) -> usize {
    match model {
        FaultModel::Byzantine => (replicas + faulty(replicas, model)) / 2 + 1,
        FaultModel::Crash => replicas / 2 + 1,
    }
}

/// How many replicas must say a thing for one of them to be believed: f + 1, or one.
pub fn believable(replicas: usize, model: FaultModel) -> usize {
    match model {
        FaultModel::Byzantine => faulty(replicas, model) + 1,
        FaultModel::Crash => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_small_committees() {
        // n, Byzantine (f, quorum, believable), crash (f, quorum)
        let table = [
            (1, (0, 1, 1), (0, 1)),
            (2, (0, 2, 1), (0, 2)),
            (3, (0, 2, 1), (1, 2)),
            (4, (1, 3, 2), (1, 3)),
            (5, (1, 4, 2), (2, 3)),
            (6, (1, 4, 2), (2, 4)),
            (7, (2, 5, 3), (3, 4)),
            (10, (3, 7, 4), (4, 6)),
            (16, (5, 11, 6), (7, 9)),
            (31, (10, 21, 11), (15, 16)),
            (100, (33, 67, 34), (49, 51)),
        ];
        for (n, (f, q, b), (cf, cq)) in table {
            assert_eq!(
                (faulty(n, FaultModel::Byzantine), quorum(n, FaultModel::Byzantine)),
                (f, q),
                "n = {n}"
            );
            assert_eq!(believable(n, FaultModel::Byzantine), b, "n = {n}");
            assert_eq!((faulty(n, FaultModel::Crash), quorum(n, FaultModel::Crash)), (cf, cq), "n = {n}");
        }
    }

    #[test]
    fn quorums_of_every_committee_up_to_a_hundred_intersect_and_are_reachable() {
        for n in 1..=100 {
            let (f, q) = (faulty(n, FaultModel::Byzantine), quorum(n, FaultModel::Byzantine));
            assert!(n > 3 * f && n <= 3 * (f + 1), "f is the largest possible at n = {n}");
            assert!(2 * q > n + f, "two quorums share an honest replica at n = {n}");
            assert!(2 * (q - 1) <= n + f, "the quorum is the smallest such at n = {n}");
            assert!(q <= n - f, "the honest reach a quorum alone at n = {n}");
            let (f, q) = (faulty(n, FaultModel::Crash), quorum(n, FaultModel::Crash));
            assert!(n > 2 * f && 2 * q > n && 2 * (q - 1) <= n && q <= n - f, "crash faults at n = {n}");
        }
    }
}
