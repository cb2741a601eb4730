//! Something that goes wrong, or right again, and how the world carries it out.

use crate::checker::Violation;
use crate::disk_fault::DiskFault;
use crate::drive::Drive;
use crate::network::Weather;
use crate::world::{Action, World};
use bft_core::host::Event;
use bft_core::types::ReplicaId;
use std::collections::BTreeSet;
use std::time::Duration;

/// See the module's text.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A replica stops, losing what was not synced.
    Crash(ReplicaId),
    /// A stopped replica starts.
    Restart(ReplicaId),
    /// Links between two sides are cut; one way if so said.
    Cut(BTreeSet<ReplicaId>, BTreeSet<ReplicaId>, bool),
    /// All links are mended.
    Mend,
    /// A process stops for a while and goes on with timers and frames of before; its monotonic clock stands still meanwhile
    /// if so said, as on a machine that sleeps.
    Pause(ReplicaId, Duration, bool),
    /// A paused process goes on.
    Resume(ReplicaId),
    /// A wall clock jumps, by microseconds.
    Jump(ReplicaId, i64),
    /// A replica stops and loses its disk: what starts later is a learner.
    LoseDisk(ReplicaId),
    /// Somebody copies the disk of a replica.
    Backup(ReplicaId),
    /// A replica starts on the copy, with all votes. From here on it is dishonest.
    RestoreBackup(ReplicaId),
    /// A replica starts on a disk that had not kept what it said was synced. From here on it is dishonest.
    LoseTail(ReplicaId),
    /// Something goes wrong with the disk of a replica.
    Disk(ReplicaId, DiskFault),
    /// A replica's disk is mended, and the replica starts if it is down.
    Repair(ReplicaId),
}

impl World {
    /// Plans a fault.
    pub fn plan(&mut self, after: Duration, fault: Fault) {
        self.at(after, Action::Fault(fault));
    }

    pub(crate) fn fault(&mut self, fault: &Fault) -> Result<(), Violation> {
        self.note("fault", 0, format!("{fault:?}").as_bytes());
        if self.trace {
            println!("             {fault:?}");
        }
        match fault {
            Fault::Crash(replica) => self.crash(*replica),
            Fault::Restart(replica) => self.restart(*replica)?,
            Fault::Cut(side, other, one_way) => {
                self.network.cut(side, other, *one_way);
                self.tell_links();
            }
            Fault::Mend => {
                self.network.heal();
                self.tell_links();
            }
            Fault::Pause(replica, span, frozen) => self.pause(*replica, *span, *frozen),
            Fault::Resume(replica) => self.resume(*replica),
            Fault::Jump(replica, by) => {
                self.count("clock jumps");
                let clock = &mut self.replicas[replica.index()].clock;
                clock.skew_us = clock.skew_us.saturating_add(*by);
            }
            Fault::LoseDisk(replica) => {
                self.crash(*replica);
                self.count("disks lost");
                self.lose_disk(*replica);
            }
            Fault::Backup(replica) => {
                let node = &mut self.replicas[replica.index()];
                node.backup = Some(Box::new(node.drive.copy()));
            }
            Fault::RestoreBackup(replica) => {
                self.crash(*replica);
                self.count("old disks restored");
                let node = &mut self.replicas[replica.index()];
                node.amnesiac = true;
                node.drive = node.backup.take().map_or_else(|| Drive::new(&node.config), |drive| *drive);
                self.restart(*replica)?;
            }
            Fault::LoseTail(replica) => {
                self.crash(*replica);
                self.count("synced tails lost");
                let node = &mut self.replicas[replica.index()];
                node.amnesiac = true;
                node.drive.stop(&mut self.random);
                node.drive.lose_tail(&mut self.random);
                self.restart(*replica)?;
            }
            Fault::Disk(replica, fault) => self.disk_fault(*replica, *fault),
            Fault::Repair(replica) => {
                self.replicas[replica.index()].drive.sectors.mend();
                self.restart(*replica)?;
            }
        }
        Ok(())
    }

    pub(crate) fn crash(&mut self, replica: ReplicaId) {
        let node = &mut self.replicas[replica.index()];
        node.paused = None;
        node.held.clear();
        if node.host.take().is_some() {
            self.crashes += 1;
        }
    }

    pub(crate) fn restart(&mut self, replica: ReplicaId) -> Result<(), Violation> {
        if self.replicas[replica.index()].host.is_some() {
            return Ok(());
        }
        let mut effects = Vec::new();
        if !self.start_on_disk(replica, &mut effects)? {
            return Ok(());
        }
        let node = &self.replicas[replica.index()];
        self.checker.started(replica, node.shown);
        if let Some(host) = node.host.as_ref().filter(|_| node.is_honest()) {
            self.checker.recovered(replica, host.executed())?;
        }
        // What survived the crash is durable whether or not a sync had been reported.
        self.checker.synced(replica, self.replicas[replica.index()].drive.survived());
        self.settle(replica, effects)?;
        self.tell_links();
        Ok(())
    }

    fn pause(&mut self, replica: ReplicaId, span: Duration, frozen: bool) {
        let node = &mut self.replicas[replica.index()];
        if node.host.is_none() || node.paused.is_some() {
            return;
        }
        node.paused = Some((self.now, frozen));
        self.count("pauses");
        self.plan(span, Fault::Resume(replica));
    }

    fn resume(&mut self, replica: ReplicaId) {
        let now = self.now;
        let node = &mut self.replicas[replica.index()];
        let Some((since, frozen)) = node.paused.take() else { return };
        if frozen {
            let shown = node.clock.read(since).time;
            node.clock.set(now, shown);
        }
        node.tick_at = Some(now);
        let life = node.life;
        if frozen {
            self.at(Duration::ZERO, Action::Event { replica, life, event: Box::new(Event::Stalled) });
        }
        let node = &mut self.replicas[replica.index()];
        for action in std::mem::take(&mut node.held) {
            self.at(Duration::ZERO, action);
        }
        self.at(Duration::ZERO, Action::Tick { replica, life });
    }

    /// Tells every running replica which others it is connected to.
    pub(crate) fn tell_links(&mut self) {
        let places: Vec<ReplicaId> = (0..self.replicas.len()).map(|index| ReplicaId(index as u16)).collect();
        let members: Vec<ReplicaId> =
            places.iter().copied().filter(|place| self.member(*place) == *place).collect();
        for a in &places {
            let me = self.member(*a);
            for peer in members.iter().filter(|peer| **peer != me) {
                let reachable = |b: &ReplicaId| {
                    self.network.is_up(*a, *b)
                        && self.network.is_up(*b, *a)
                        && self.replicas[b.index()].host.is_some()
                };
                let up = places.iter().filter(|b| self.member(**b) == *peer).any(reachable);
                let peer = *peer;
                let event = if up { Event::Connected { peer } } else { Event::Disconnected { peer } };
                // Behind what a pause held back: of two words about one link, the later one is true.
                let life = self.replicas[a.index()].life;
                self.at(Duration::ZERO, Action::Event { replica: *a, life, event: Box::new(event) });
            }
        }
    }

    /// Ends all faults: links are mended and calm, wall clocks are set right, disks are mended, every replica runs.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.network.heal();
        self.network.set_weather(Weather::CALM);
        self.drop_faults();
        for index in 0..self.replicas.len() {
            let replica = ReplicaId(index as u16);
            self.resume(replica);
            let clock = &mut self.replicas[index].clock;
            clock.skew_us = clock.skew_us.clamp(-MOST_SKEW_US, MOST_SKEW_US);
            self.replicas[index].drive.sectors.mend();
            self.restart(replica)?;
        }
        self.tell_links();
        Ok(())
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.mishaps.entry(kind).or_default() += 1;
    }
}

/// How far wall clocks are from the truth where they are kept in order: well within what the genesis allows.
pub const MOST_SKEW_US: i64 = 1_000_000;
