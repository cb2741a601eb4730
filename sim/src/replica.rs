//! One replica of the simulation: the production host, its edge, its disk, its keys, and perhaps a liar at its mouth.

use crate::adversary::Liar;
use crate::app::{Registers, Trace};
use crate::clock::Clock;
use crate::drive::Drive;
use crate::world::Action;
use bft_core::edge::Edge;
use bft_core::envelope::{Seal, SealWith};
use bft_core::evidence::Evidence;
use bft_core::host::{Effect, Host, HostConfig, RecoverError, Recovered, SealJob};
use bft_core::types::{Height, Now, Time};
use crypto::{IdentitySecret, QuorumSigner, TransactionVerifier};
use engines::{AnyEngine, AnyMessage};

/// A host of the simulation.
pub type SimHost = Host<AnyEngine, Registers>;

/// See the module's text.
#[derive(Debug)]
pub struct Replica {
    /// What it is made of.
    pub config: HostConfig,
    /// Running, or stopped.
    pub host: Option<SimHost>,
    /// Checks what comes in.
    pub edge: Edge,
    /// What survives.
    pub drive: Drive,
    /// Rewrites what it says.
    pub liar: Option<Liar>,
    /// Whether the checkers take it for honest although it lies: a canary.
    pub counts_as_honest: bool,
    /// Counts starts: events of an earlier life are dropped.
    pub life: u32,
    /// Executed heights already shown to the checker.
    pub shown: Height,
    /// A sync is under way.
    pub syncing: bool,
    /// How many times as long its syncs take as others'.
    pub sync_factor: u32,
    /// When the last state handed out is on disk.
    pub flushed_by: Time,
    /// The tick that is scheduled.
    pub tick_at: Option<Time>,
    /// Its clocks.
    pub clock: Clock,
    /// Since when its process stands still, and whether its monotonic clock does too.
    pub paused: Option<(Time, bool)>,
    /// What waits for it to go on.
    pub(crate) held: Vec<Action>,
    /// A copy of its disk, made some time ago.
    pub backup: Option<Box<Drive>>,
    /// Whether it has forgotten what it promised: not its fault, yet nothing it says counts.
    pub amnesiac: bool,
    /// Whether there is another one with its keys.
    pub twin: bool,
    /// What its application executed.
    pub trace: Trace,
    signer: QuorumSigner,
    identity: IdentitySecret,
}

impl Replica {
    /// A replica that has not started.
    pub fn new(config: HostConfig, signer: QuorumSigner, identity: IdentitySecret, clock: Clock) -> Replica {
        let edge = new_edge(&config);
        let drive = Drive::new(&config);
        Replica {
            config,
            host: None,
            edge,
            drive,
            liar: None,
            counts_as_honest: false,
            sync_factor: 1,
            life: 0,
            shown: 0,
            syncing: false,
            flushed_by: Time(0),
            tick_at: None,
            clock,
            paused: None,
            held: Vec::new(),
            backup: None,
            amnesiac: false,
            twin: false,
            trace: Trace::default(),
            signer,
            identity,
        }
    }

    /// A second copy, with the same keys, a disk of its own and another clock. Neither is honest any more.
    pub fn double(&mut self) -> Replica {
        self.twin = true;
        let clock = Clock::with_skew(self.clock.skew_us / 2 + 77_000);
        let mut copy = Replica::new(self.config.clone(), self.signer.clone(), self.identity.clone(), clock);
        copy.twin = true;
        copy
    }

    /// Starts on what the disk has.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn start(
        &mut self,
        now: Now,
        mut recovered: Recovered,
        effects: &mut Vec<Effect>,
    ) -> Result<(), RecoverError> {
        self.life += 1;
        self.edge = new_edge(&self.config);
        let proven = |evidence: &Evidence| self.edge.evidence::<AnyMessage>(evidence.clone());
        recovered.evidence = self
            .drive
            .account
            .evidence
            .iter()
            .map(proven)
            .collect::<Result<_, _>>()
            .expect("it was kept verified");
        self.syncing = false;
        self.tick_at = None;
        self.trace.lock().expect("one thread").clear();
        let app = Registers { trace: Trace::clone(&self.trace) };
        let flushed = recovered.state.as_ref().map_or(0, |state| state.height);
        let host = SimHost::recover(self.config.clone(), app, recovered, now, effects)?;
        self.shown = flushed;
        self.host = Some(host);
        Ok(())
    }

    /// Signs, as the holder of the keys.
    pub fn seal(&self, job: &SealJob) -> Seal {
        seal(job.with, &self.signer, &self.identity)
    }

    /// Whether what it does counts for the checkers.
    pub fn is_honest(&self) -> bool {
        (self.liar.is_none() && !self.amnesiac && !self.twin) || self.counts_as_honest
    }

    /// Its keys, for a liar.
    pub fn keys(&self) -> (QuorumSigner, IdentitySecret) {
        (self.signer.clone(), self.identity.clone())
    }
}

fn new_edge(config: &HostConfig) -> Edge {
    Edge::new(config.trust.clone(), config.genesis.limits, TransactionVerifier::Simulated)
}

/// Seals what is to be sealed; the simulated scheme has a stand-in for identities too.
pub(crate) fn seal(with: SealWith, signer: &QuorumSigner, identity: &IdentitySecret) -> Seal {
    match with {
        SealWith::Nothing => Seal::None,
        SealWith::Share(statement) => Seal::Share(signer.sign(&statement)),
        SealWith::Signature(statement) => Seal::Signature(match signer {
            QuorumSigner::Simulated(_) => identity.sign_simulated(&statement.encode()),
            QuorumSigner::Threshold(..) | QuorumSigner::Ed25519(_) | QuorumSigner::None => {
                identity.sign(&statement.encode())
            }
        }),
    }
}
