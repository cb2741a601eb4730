//! The operations that a replica is made of, each with realistic inputs, so that what one costs can be measured alone.
//!
//! [`all`] lists them, [`measure()`] times one. Two things read the list: the benchmarks (`bench/benches/operations.rs`), and whoever
//! charges a simulated replica with what its work would cost.
//!
//! | group | one unit of it is |
//! |---|---|
//! | crypto | a share, certificate, aggregate, signature or digest |
//! | codec | a frame made, read, or checked at the edge |
//! | log | a batch appended and synced (the only group on the wall's clock) |
//! | engine | a message that an engine was given, with everything else that the engine was told meanwhile |
//! | host | a transaction taken into the pool, or executed |
//! | state | a key written, and hashed into the root |
//!
//! An operation is prepared once and performed as often as one likes. It has its own stopwatch, which runs only while the work
//! itself is done: making the inputs of the next time is not part of it.

mod accounts;
mod aggregates;
mod certificates;
mod committee;
mod execution;
mod frames;
mod hashes;
mod log;
mod measure;
mod members;
mod operation;
mod pool;
mod recorder;
mod signatures;
mod state;
mod steps;
mod stopwatch;
mod transactions;

pub use measure::{Measured, measure};
pub use operation::{Group, Operation, Prepared};
pub use stopwatch::{Clock, Stopwatch};

/// Every operation, group by group.
pub fn all() -> Vec<Operation> {
    [
        certificates::operations(),
        aggregates::operations(),
        signatures::operations(),
        hashes::operations(),
        frames::operations(),
        log::operations(),
        steps::operations(),
        pool::operations(),
        execution::operations(),
        state::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn names_are_unique_and_groups_stand_together() {
        let all = all();
        let names: BTreeSet<(Group, &str)> =
            all.iter().map(|operation| (operation.group, operation.name.as_str())).collect();
        assert_eq!(names.len(), all.len());
        let groups: Vec<Group> =
            all.chunk_by(|a, b| a.group == b.group).map(|operations| operations[0].group).collect();
        assert_eq!(groups, Group::ALL);
    }

    /// Performs all of a group, more than once: each time there are inputs.
    fn perform(group: Group) {
        for operation in all().into_iter().filter(|operation| operation.group == group) {
            let mut prepared = operation.prepare();
            let mut stopwatch = Stopwatch::new(operation.clock);
            prepared.perform(&mut stopwatch);
            prepared.perform(&mut stopwatch);
            assert!(prepared.units() > 0, "{operation:?}");
            assert!(stopwatch.elapsed() > Duration::ZERO, "{operation:?}");
        }
    }

    #[test]
    fn keys_signatures_and_digests_are_performed() {
        perform(Group::Crypto);
    }

    #[test]
    fn frames_and_the_log_are_performed() {
        perform(Group::Codec);
        perform(Group::Log);
    }

    #[test]
    fn the_steps_of_every_engine_are_performed() {
        perform(Group::Engine);
    }

    #[test]
    fn pool_execution_and_state_are_performed() {
        perform(Group::Host);
        perform(Group::State);
    }
}
