//! Something that goes wrong, or right again, and how the world carries it out.

use crate::checker::Violation;
use crate::disk::Disk;
use crate::mutants;
use crate::network::Weather;
use crate::world::{Action, World};
use bft_core::host::Event;
use bft_core::mutants::Mutant;
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
                self.tell_links()?;
            }
            Fault::Mend => {
                self.network.heal();
                self.tell_links()?;
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
                let node = &mut self.replicas[replica.index()];
                node.disk = Disk::default();
                // threat 80: what it has voted for is not known any more, so it does not vote.
                node.config.may_vote = Mutant::LearnerVotes.is_on();
                self.checker.learner(*replica);
            }
            Fault::Backup(replica) => {
                let node = &mut self.replicas[replica.index()];
                node.backup = Some(Box::new(node.disk.copy()));
            }
            Fault::RestoreBackup(replica) => {
                self.crash(*replica);
                self.count("old disks restored");
                let node = &mut self.replicas[replica.index()];
                node.amnesiac = true;
                node.disk = node.backup.take().map(|disk| *disk).unwrap_or_default();
                self.restart(*replica)?;
            }
            Fault::LoseTail(replica) => {
                self.crash(*replica);
                self.count("synced tails lost");
                let node = &mut self.replicas[replica.index()];
                node.amnesiac = true;
                node.disk.lose_tail(&mut self.random);
                self.restart(*replica)?;
            }
        }
        Ok(())
    }

    fn crash(&mut self, replica: ReplicaId) {
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
        let node = &mut self.replicas[replica.index()];
        let mut recovered = node.disk.crash(&mut self.random);
        mutants::recover(&mut recovered);
        let now = node.clock.read(self.now);
        node.start(now, recovered, &mut effects);
        let shown = node.shown;
        self.checker.started(replica, shown);
        // What survived the crash is durable whether or not a sync had been reported.
        let survived = self.replicas[replica.index()].disk.survived().to_vec();
        self.checker.synced(replica, &survived);
        self.settle(replica, effects)?;
        self.tell_links()
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
        for action in std::mem::take(&mut node.held) {
            self.at(Duration::ZERO, action);
        }
        self.at(Duration::ZERO, Action::Tick { replica, life });
    }

    /// Tells every running replica which others it is connected to.
    pub(crate) fn tell_links(&mut self) -> Result<(), Violation> {
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
                self.step(*a, Some(event))?;
            }
        }
        Ok(())
    }

    /// Ends all faults: links are mended and calm, wall clocks are set right, every replica runs.
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
            self.restart(replica)?;
        }
        self.tell_links()
    }

    fn count(&mut self, kind: &'static str) {
        *self.mishaps.entry(kind).or_default() += 1;
    }
}

/// How far wall clocks are from the truth where they are kept in order: well within what the genesis allows.
pub const MOST_SKEW_US: i64 = 1_000_000;
