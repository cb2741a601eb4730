//! What befalls machines and processes in a storm beyond crashes and cut links, as a seed chooses it.

use crate::fault::Fault;
use crate::random::Random;
use crate::transfer::Interruption;
use crate::world::World;
use bft_core::types::{ReplicaId, Time};
use crypto::FaultModel;
use std::time::Duration;

/// One kind of mishap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// Processes stand still for up to some seconds.
    Pause,
    /// Wall clocks jump by seconds.
    Jump,
    /// Monotonic clocks run fast or slow by up to three per cent, and start anywhere.
    Drift,
    /// A replica loses its disk, and comes back as one that does not vote. Counts among the f.
    LostDisk,
    /// The same, and a replica that fetches the state crashes again and again before it has all of it.
    Interruption,
    /// A replica comes back with an older disk, and votes. Counts among the f.
    Amnesia,
    /// Disks fail operations, or have no room: their replicas stop, and go on when they are mended.
    DiskErrors,
    /// Disks lose, misdirect and rot what they hold, or lie about syncs. Counts among the f.
    SickDisk,
}

/// What goes wrong in the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// Crashes and cut links, and mishaps of every kind.
    All,
    /// None: a good network, and nobody stops. Liars lie.
    Calm,
    /// The same with many more crashes and cuts; some crashes befall all replicas at about the same time.
    Severe,
    /// Crashes and cut links only; every liar has one idea, one of the first ten.
    Few,
    /// Crashes and cut links, and much of one mishap; nobody lies.
    Only(Mishap),
    /// A good network, in which f replicas come back with older copies of their disks, and nothing else happens but that the others
    /// do not hear each other for a while. All hear what the f say, so that each must notice it before it contradicts itself.
    OldCopies,
}

impl Faults {
    pub(crate) fn include(self, mishap: Mishap) -> bool {
        self.are_all() || self == Faults::Only(mishap)
    }

    pub(crate) fn are_all(self) -> bool {
        matches!(self, Faults::All | Faults::Severe)
    }
}

/// Plans mishaps for the storm. `budget`: how many replicas may yet fail for good, so that with the liars they are at most f.
/// Gives the replicas that none was planned for, and how many of them may fail for good.
pub fn plan(
    world: &mut World,
    faults: Faults,
    budget: usize,
    storm: Duration,
    random: &mut Random,
) -> (Vec<ReplicaId>, usize) {
    if faults == Faults::OldCopies {
        plan_old_copies(world, budget, storm, random);
        return (Vec::new(), 0);
    }
    let n = world.replicas.len();
    let all = faults.are_all();
    // Who forgets what it has promised lies, whatever the reason.
    let bears_lies = world.replicas[0].config.genesis.fault_model == FaultModel::Byzantine;
    let any = |random: &mut Random| ReplicaId(random.index(n) as u16);
    let moment = |random: &mut Random| random.span(Duration::from_millis(100), storm);
    if faults.include(Mishap::Pause) {
        let pauses = if all { random.below(4) } else { 6 };
        for _ in 0..pauses {
            let (replica, at) = (any(random), moment(random));
            let longest = [40, 400, 3000][random.index(3)];
            let span = random.span(Duration::from_millis(1), Duration::from_millis(longest));
            world.plan(at, Fault::Pause(replica, span, random.per_mille(300)));
        }
    }
    if faults.include(Mishap::Jump) {
        let jumps = if all { random.below(3) } else { 5 };
        for _ in 0..jumps {
            let by = random.below(16_000_000) as i64 - 8_000_000;
            world.plan(moment(random), Fault::Jump(any(random), by));
        }
    }
    if faults.include(Mishap::Drift) && (!all || random.per_mille(500)) {
        for replica in &mut world.replicas {
            replica.clock.drift_ppm = random.below(60_001) as i32 - 30_000;
            let longest = Duration::from_secs(1 << random.below(24));
            let shown = random.span(Duration::ZERO, longest);
            replica.clock.set(Time(0), Time(0) + shown);
        }
    }
    if faults.include(Mishap::Interruption) && (!all || random.per_mille(300)) {
        world.interruption = Some(Interruption::new(random.between(1, 9)));
    }
    let mut left: Vec<ReplicaId> =
        world.replicas.iter().filter(|replica| replica.liar.is_none()).map(|r| r.config.me).collect();
    let mut spare = budget;
    let losses = faults.include(Mishap::LostDisk)
        || faults.include(Mishap::Interruption)
        || faults.include(Mishap::Amnesia);
    for _ in 0..budget {
        if !losses || (all && !random.per_mille(400)) {
            continue;
        }
        spare -= 1;
        let replica = left.swap_remove(random.index(left.len()));
        let amnesia = bears_lies && if all { random.per_mille(500) } else { faults.include(Mishap::Amnesia) };
        let at = moment(random);
        if amnesia && random.per_mille(700) {
            // Without a copy made before, everything is forgotten.
            world.plan(moment(random), Fault::Backup(replica));
            world.plan(at, Fault::RestoreBackup(replica));
        } else if amnesia {
            world.plan(at, Fault::LoseTail(replica));
        } else if faults.include(Mishap::LostDisk) || faults.include(Mishap::Interruption) {
            world.plan(at, Fault::LoseDisk(replica));
            let down = random.span(Duration::from_millis(1), Duration::from_millis(1500));
            world.plan(at + down, Fault::Restart(replica));
        }
    }
    (left, spare)
}

/// Puts `count` replicas back to copies of their disks that were made some time before. Meanwhile links between the others are cut, so
// that all hear what is said and nothing of it is decided.
fn plan_old_copies(world: &mut World, count: usize, storm: Duration, random: &mut Random) {
    world.watches_copies = true;
    let mut left: Vec<ReplicaId> = world.replicas.iter().map(|replica| replica.config.me).collect();
    let put_back: Vec<ReplicaId> = (0..count).map(|_| left.swap_remove(random.index(left.len()))).collect();
    let cut = random.span(Duration::from_millis(1), storm / 2);
    for (index, replica) in left.iter().enumerate() {
        let (one, rest) = ([*replica].into(), left[index + 1..].iter().copied().collect());
        world.plan(cut, Fault::Cut(one, rest, false));
    }
    let crashed = cut + random.span(Duration::from_millis(20), storm / 4);
    // What was said last has arrived by then.
    let back = crashed + random.span(Duration::from_millis(100), Duration::from_millis(900));
    for replica in put_back {
        let copied = random.span(cut / 2, crashed - Duration::from_millis(10));
        world.plan(copied, Fault::Backup(replica));
        world.plan(crashed, Fault::Crash(replica));
        world.plan(back, Fault::RestoreBackup(replica));
    }
    world.plan(back + random.span(Duration::ZERO, Duration::from_millis(200)), Fault::Mend);
}
