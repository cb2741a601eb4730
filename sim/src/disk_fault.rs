//! What goes wrong with disks, as a seed chooses it, and what replicas and operators do about it.
//!
//! Some disks say what is wrong: a write, sync or read fails, or there is no room. The replica stops, the disk is mended, and it goes
//! on with its votes; this may happen to any. Others do not say it: they lose or misdirect writes, show old sectors, rot, or lie about
//! syncs. Where the log notices, the operator does what its error says: an empty directory, and no vote. Where it cannot notice,
//! the replica may have forgotten a promise, and is no longer honest. Such disks are at most f, with liars and amnesiacs.

use crate::checker::Violation;
use crate::drive::Drive;
use crate::fault::Fault;
use crate::mishap::{Faults, Mishap};
use crate::mutants;
use crate::random::Random;
use crate::world::World;
use bft_core::host::{Effect, Event};
use bft_core::mutants::Mutant;
use bft_core::types::ReplicaId;
use crypto::FaultModel;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use storage::LogError;
use storage::testing::Ailment;

/// Something that goes wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// At the next opportunity, chosen further by the bits.
    Ailment(Ailment, u64),
    /// No room for so many more bytes.
    Full(usize),
    /// A sector rots, chosen by the bits.
    Rot(u64),
    /// Syncs write nothing from now on.
    Lie,
}

impl DiskFault {
    /// Whether the disk keeps quiet about it.
    fn is_silent(self) -> bool {
        match self {
            DiskFault::Ailment(ailment, _) => match ailment {
                Ailment::WriteError | Ailment::SyncError | Ailment::ReadError => false,
                Ailment::LostWrite | Ailment::MisdirectedWrite | Ailment::StaleRead => true,
            },
            DiskFault::Full(_) => false,
            DiskFault::Rot(_) | DiskFault::Lie => true,
        }
    }
}

/// Plans disk faults for the storm. `left`: replicas that may yet fail for good, `budget` of them at most.
pub fn plan(
    world: &mut World,
    faults: Faults,
    mut left: Vec<ReplicaId>,
    budget: usize,
    storm: Duration,
    random: &mut Random,
) {
    let n = world.replicas.len();
    let moment = |random: &mut Random| random.span(Duration::from_millis(100), storm);
    if faults.include(Mishap::DiskErrors) {
        let errors = if faults.are_all() { random.below(3) } else { 4 };
        for _ in 0..errors {
            let bits = random.bits();
            let fault = match random.below(4) {
                0 => DiskFault::Ailment(Ailment::WriteError, bits),
                1 => DiskFault::Ailment(Ailment::SyncError, bits),
                2 => DiskFault::Ailment(Ailment::ReadError, bits),
                _ => DiskFault::Full(random.index(1 << 13)),
            };
            world.plan(moment(random), Fault::Disk(ReplicaId(random.index(n) as u16), fault));
        }
    }
    let bears_lies = world.replicas[0].config.genesis.fault_model == FaultModel::Byzantine;
    if !faults.include(Mishap::SickDisk) || !bears_lies {
        return;
    }
    for _ in 0..budget {
        if faults.are_all() && !random.per_mille(400) {
            continue;
        }
        let replica = left.swap_remove(random.index(left.len()));
        let troubles = if faults.are_all() { random.between(1, 3) } else { 4 };
        for _ in 0..troubles {
            let bits = random.bits();
            let fault = match random.below(5) {
                0 => DiskFault::Ailment(Ailment::LostWrite, bits),
                1 => DiskFault::Ailment(Ailment::MisdirectedWrite, bits),
                2 => DiskFault::Ailment(Ailment::StaleRead, bits),
                3 => DiskFault::Rot(bits),
                _ => DiskFault::Lie,
            };
            let at = moment(random);
            world.plan(at, Fault::Disk(replica, fault));
            // Only a start reads everything.
            let until = random.span(Duration::from_millis(1), Duration::from_millis(800));
            let down = random.span(Duration::from_millis(1), Duration::from_millis(800));
            world.plan(at + until, Fault::Crash(replica));
            world.plan(at + until + down, Fault::Restart(replica));
        }
    }
}

impl World {
    pub(crate) fn disk_fault(&mut self, replica: ReplicaId, fault: DiskFault) {
        let drive = &mut self.replicas[replica.index()].drive;
        drive.sick |= fault.is_silent() && !self.trusts_disks;
        drive.failing |= !fault.is_silent();
        match fault {
            DiskFault::Ailment(ailment, seed) => drive.sectors.arm(ailment, seed),
            DiskFault::Full(room) => drive.sectors.limit(Some(drive.sectors.used() + room)),
            DiskFault::Rot(seed) => drop(drive.sectors.rot(seed)),
            DiskFault::Lie => drive.sectors.lie(true),
        }
    }

    /// The log's writer is done with a group.
    pub(crate) fn synced(&mut self, replica: ReplicaId, sequence: u64) -> Result<(), Violation> {
        self.note("synced", u64::from(replica.0), &sequence.to_be_bytes());
        let node = &mut self.replicas[replica.index()];
        node.syncing = false;
        match node.drive.sync() {
            Ok(items) => self.checker.synced(replica, items),
            Err(error) => return self.stopped_by_disk(replica, &error),
        }
        self.begin_sync(replica);
        self.step(replica, Some(Event::Durable { sequence }))?;
        match self.replicas[replica.index()].drive.tidy() {
            Ok(()) => Ok(()),
            Err(error) => self.stopped_by_disk(replica, &error),
        }
    }

    /// A process ends because its disk refused, as in production: whatever the log answers is final. Somebody mends the disk and
    /// starts it again.
    pub(crate) fn stopped_by_disk(&mut self, replica: ReplicaId, error: &LogError) -> Result<(), Violation> {
        if self.trace {
            println!("             {replica} stops: {error}");
        }
        let cut = self.replicas[replica.index()].drive.sectors.has_crashed();
        self.crash(replica);
        if !cut {
            self.expected(replica, error, "a disk that does its task stops nobody")?;
            self.count("replicas stopped by their disk");
        }
        let down = self.random.span(Duration::from_millis(10), Duration::from_millis(1000));
        self.plan(down, Fault::Repair(replica));
        Ok(())
    }

    /// What a log says must have a reason, and say what to do.
    fn expected(
        &mut self,
        replica: ReplicaId,
        error: &LogError,
        rule: &'static str,
    ) -> Result<(), Violation> {
        let drive = &self.replicas[replica.index()].drive;
        let text = error.to_string();
        let broken = |rule| Err(Violation { rule, what: format!("{replica}: {text}") });
        let named = ["log/", " log:", " log durable"].iter().any(|place| text.contains(place));
        let (reason, told) = if may_be_mended(error) {
            (drive.failing, text.contains("restart the replica"))
        } else {
            let place = text.contains("at byte") || text.contains("is missing");
            (drive.sick, place && text.contains("does not vote"))
        };
        match (reason, named && told) {
            (false, _) => broken(rule),
            (true, false) => broken("a log that stops says where and what to do"),
            (true, true) => Ok(()),
        }
    }

    /// A replica starts on what its disk has. False if it does not start now.
    pub(crate) fn start_on_disk(
        &mut self,
        replica: ReplicaId,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Violation> {
        let node = &mut self.replicas[replica.index()];
        node.drive.stop(&mut self.random);
        let mut found = match node.drive.start() {
            Ok(found) => found,
            Err(error) => return self.refused(replica, &error, effects),
        };
        mutants::recover(&mut found.recovered);
        let node = &mut self.replicas[replica.index()];
        let now = node.clock.read(self.now);
        if found.whole {
            let started = node.start(now, found.recovered, effects);
            let what = |error| format!("{replica}: {error}");
            return match started {
                Ok(()) => Ok(true),
                Err(error) => Err(Violation { rule: "a whole disk recovers", what: what(error) }),
            };
        }
        if !node.amnesiac && !node.drive.sick {
            let what =
                format!("{replica} starts on other records and items than its log had reported durable");
            return Err(Violation { rule: "what is durable is there after a crash", what });
        }
        // It has forgotten something, and may contradict itself: no longer an honest replica, unless it does not even start.
        let was_known = std::mem::replace(&mut node.amnesiac, true);
        let started = catch_unwind(AssertUnwindSafe(|| node.start(now, found.recovered, effects)));
        if let Ok(Ok(())) = started {
            if !was_known {
                self.count("promises lost unnoticed");
            }
            return Ok(true);
        }
        node.amnesiac = was_known;
        self.count("losses noticed by the host");
        self.start_anew(replica, effects)
    }

    /// The log does not start.
    fn refused(
        &mut self,
        replica: ReplicaId,
        error: &LogError,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Violation> {
        if self.trace {
            println!("             {replica} does not start: {error}");
        }
        if self.replicas[replica.index()].drive.sectors.has_crashed() {
            self.crashes += 1;
        } else {
            self.expected(replica, error, "what a sound disk has is not refused")?;
            if !may_be_mended(error) {
                self.count("damage noticed by the log");
                return self.start_anew(replica, effects);
            }
            self.count("starts that a disk failed");
        }
        let down = self.random.span(Duration::from_millis(10), Duration::from_millis(1000));
        self.plan(down, Fault::Repair(replica));
        Ok(false)
    }

    /// The operator does what the message says: the replica starts on an empty directory.
    fn start_anew(&mut self, replica: ReplicaId, effects: &mut Vec<Effect>) -> Result<bool, Violation> {
        effects.clear();
        self.lose_disk(replica);
        let node = &mut self.replicas[replica.index()];
        let now = node.clock.read(self.now);
        let broken = |error: String| Violation {
            rule: "a replica starts on an empty disk",
            what: format!("{replica}: {error}"),
        };
        let found = node.drive.start().map_err(|error| broken(error.to_string()))?;
        node.start(now, found.recovered, effects).map_err(|error| broken(error.to_string()))?;
        Ok(true)
    }

    /// The operator moves the directory away: what starts on an empty one is a learner.
    pub(crate) fn lose_disk(&mut self, replica: ReplicaId) {
        self.gather_disk_counts();
        let node = &mut self.replicas[replica.index()];
        node.drive = Drive::new(&node.config);
        // threat 80: what it has voted for is not known any more, so it does not vote.
        node.config.may_vote = Mutant::LearnerVotes.is_on();
        self.checker.learner(replica);
    }

    /// Adds what went wrong with disks to the counts of the run.
    pub(crate) fn gather_disk_counts(&mut self) {
        for node in &self.replicas {
            for (kind, count) in node.drive.sectors.take_struck() {
                *self.mishaps.entry(kind).or_default() += count;
            }
        }
    }
}

/// Whether a replica goes on with its votes once the cause is mended: all that it promised is there.
fn may_be_mended(error: &LogError) -> bool {
    matches!(error, LogError::Io { .. } | LogError::SyncFailed { .. } | LogError::DiskFull { .. })
}
