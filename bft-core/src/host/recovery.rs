//! From what was durable to a running host.

use super::accusations::Accusations;
use super::checkpoint::Checkpoints;
use super::execution::{BadState, Ledger};
use super::log_tail::{Flushing, LogTail};
use super::promises::Promises;
use super::recall::Recall;
use super::{Effect, Host, HostConfig, Promise};
use crate::block::Block;
use crate::codec::{self, DecodeError};
use crate::engine::{Engine, Outbox, Record, Start};
use crate::envelope::SealWith;
use crate::evidence::Evidence;
use crate::genesis::GenesisError;
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::log::{FetchedState, LoadedState, LogItem, LogKind};
use crate::machine::StateMachine;
use crate::types::{Height, Now};
use crate::verified::Verified;
use bytes::Bytes;
use crypto::{Digest, FaultModel, Statement};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What was durable.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The state store's content; none if nothing was ever flushed.
    pub state: Option<LoadedState>,
    /// Records in force, in log order.
    pub records: Vec<Bytes>,
    /// Blocks, entries and certificates above the state's height, in log order; certificates that records in force rely on
    /// also below.
    pub items: Vec<LogItem>,
    /// What [`Effect::KeepFetched`] asked to keep, of one state.
    pub fetched: Option<FetchedState>,
    /// What [`Effect::Report`] asked to keep.
    pub evidence: Vec<Verified<Evidence>>,
}

/// Why a replica cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The genesis does not fit this program.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The state store cannot be used.
    #[error(transparent)]
    State(#[from] BadState),
    /// An item of the log does not decode although its checksum holds.
    #[error(
        "an item of the log for height {height} cannot be read: {why}; it was written by another release, or the disk is damaged"
    )]
    Item {
        /// Its height.
        height: Height,
        /// Why.
        why: DecodeError,
    },
    /// Two items of the log that belong together do not.
    #[error(
        "the log contradicts itself at height {height}: {what}; it was written by another release, or the disk is damaged"
    )]
    Inconsistent {
        /// The height.
        height: Height,
        /// What does not fit.
        what: &'static str,
    },
    /// Executing a block again gave another result.
    #[error(
        "executing height {0} again gave another ledger entry than before: the application is not deterministic, or was changed; run the version that wrote this data directory"
    )]
    NotDeterministic(Height),
    /// There is evidence against this replica itself, and it would vote.
    #[error("{0}")]
    Accused(String),
}

/// The log's items, decoded.
#[derive(Default)]
struct Replay {
    blocks: Vec<Block>,
    entries: BTreeMap<Height, LedgerEntry>,
    certificates: BTreeMap<Height, CheckpointCertificate>,
}

fn read_items(items: &[LogItem], limit: usize, chain: &Digest) -> Result<Replay, RecoverError> {
    let mut replay = Replay::default();
    for item in items {
        let fail = |why| RecoverError::Item { height: item.height, why };
        match item.kind {
            LogKind::Block => {
                let block: Block = codec::decode(&item.body, limit).map_err(fail)?;
                let fits = block.payload.root(chain) == Ok(block.header.payload_root);
                consistent(item, fits, "a block's payload is not the one in its header")?;
                replay.blocks.push(block);
            }
            LogKind::Entry => {
                let entry: LedgerEntry = codec::decode(&item.body, limit).map_err(fail)?;
                consistent(item, entry.height == item.height, "an entry says that it is of another height")?;
                replay.entries.insert(item.height, entry);
            }
            LogKind::Certificate => {
                let certificate: CheckpointCertificate = codec::decode(&item.body, limit).map_err(fail)?;
                let fits = certificate.height() == item.height;
                consistent(item, fits, "a certificate says that it is of another height")?;
                replay.certificates.insert(item.height, certificate);
            }
            LogKind::Record | LogKind::Mark => {}
        }
    }
    Ok(replay)
}

fn consistent(item: &LogItem, holds: bool, what: &'static str) -> Result<(), RecoverError> {
    if holds { Ok(()) } else { Err(RecoverError::Inconsistent { height: item.height, what }) }
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Starts a replica from what was durable: executes what was executed, gives the engine its promises back, and says
    /// what follows.
    ///
    /// # Errors
    /// Whatever makes the replica's past unusable.
    pub fn recover(
        config: HostConfig,
        app: A,
        recovered: Recovered,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Host<E, A>, RecoverError> {
        let accusations = Accusations::new(recovered.evidence);
        if let Some(why) = accusations.against(config.me).filter(|_| config.may_vote) {
            return Err(RecoverError::Accused(why));
        }
        let limits = config.genesis.limits;
        let replay = read_items(&recovered.items, limits.frame_bytes(), &config.trust.domain.chain)?;
        // A record may hold what came in several frames: PBFT's proof of a view holds a quorum of view-changes.
        let records =
            read_records::<E>(&recovered.records, limits.frame_bytes() * config.trust.committee.replicas)?;
        let mut ledger = Ledger::genesis(app, Arc::clone(&config.genesis))?;
        let genesis = CheckpointCertificate { entry: config.genesis.entry(), proof: None };
        let mut certificates = BTreeMap::from([(0, genesis)]);
        let mut flushed = 0;
        if let Some(state) = recovered.state {
            flushed = state.height;
            (ledger, certificates) = ledger.load(state)?;
        }
        let by_digest: BTreeMap<Digest, &Block> =
            replay.blocks.iter().map(|block| (block.digest(), block)).collect();
        while let Some(entry) = replay.entries.get(&(ledger.tip().height + 1)) {
            let Some(block) = by_digest.get(&entry.block) else { break };
            let height = ledger.tip().height + 1;
            if block.header.height != height {
                let what = "the entry names a block of another height";
                return Err(RecoverError::Inconsistent { height, what });
            }
            if ledger.execute(block) != *entry {
                return Err(RecoverError::NotDeterministic(entry.height));
            }
        }
        let tip = *ledger.tip();
        certificates.extend(replay.certificates);
        let stable = certificates
            .range(..=tip.height)
            .next_back()
            .map(|(_, c)| c.clone())
            .expect("one was just inserted");
        ledger.certified(&stable);
        let blocks: Vec<Block> = replay.blocks.into_iter().filter(|b| b.header.height > tip.height).collect();
        let start = Start::<E> {
            tip,
            tip_header: ledger.tip_header(),
            stable: stable.clone(),
            records: records.clone(),
            blocks: blocks.clone(),
        };
        let mut out = Outbox::default();
        let engine_config =
            config.trust.engine_config(config.me, &config.genesis, config.may_vote, now.wall.0);
        let engine = E::recover(engine_config, start, now.time, &mut out);
        let domain = config.trust.domain;
        let reach = 2 * limits.stable_window();
        let signed: Vec<Statement> = records.iter().flat_map(|record| record.signed(&domain)).collect();
        let led_by = engine.led_by();
        // Where nothing is signed, nobody could show it.
        let asks = config.may_vote && domain.fault_model == FaultModel::Byzantine;
        let needed = if asks { config.trust.committee.quorum() - 1 } else { 0 };
        let mut host = Host {
            engine,
            pool: super::pool::Pool::new(
                config.local.pool_bytes,
                config.genesis.organisations.len(),
                limits.view_timeout() / 4,
            ),
            clients: super::clients::Clients::default(),
            promises: Promises::new(signed.into_iter()),
            recall: Recall::new(records, now.wall.0, now.time, limits.view_timeout(), needed),
            checkpoints: Checkpoints::new(
                config.me,
                config.trust.committee,
                domain,
                stable.height(),
                reach,
                config.may_vote,
            ),
            chain_sync: super::sync::ChainSync::default(),
            block_fetch: super::sync::BlockFetch::default(),
            state_sync: super::transfer::StateSync::resume(
                recovered.fetched,
                tip.height,
                limits.frame_bytes(),
            ),
            snapshots: super::transfer::Snapshots::default(),
            serving: super::serving::Serving::new(config.local.sync_rate),
            accusations,
            accounting: super::accounting::Accounting::default(),
            certificates,
            committed: BTreeMap::new(),
            bodies: blocks.into_iter().map(|block| (block.digest(), block)).collect(),
            timers: BTreeMap::new(),
            wanted: None,
            loopback: VecDeque::new(),
            connected: BTreeSet::new(),
            reads: super::reads::Reads::new(now.wall.0),
            began_at: (tip.height > 0).then_some(tip.height),
            to_leader: Vec::new(),
            led_by,
            refresh_pool: true,
            flagged_at: now.time,
            work: None,
            behind: false,
            executed_at: now.time,
            totals: super::Totals::default(),
            log: LogTail::default(),
            flush: Flushing { height: flushed, ..Flushing::default() },
            halted: false,
            stable,
            ledger,
            config,
        };
        effects.push(Effect::Stable { height: host.stable.height() });
        host.vote_again(now, effects);
        host.aim_at_known(now, effects);
        host.absorb(now.time, out, effects);
        host.drive(now.time, effects);
        host.flush(now, effects);
        Ok(host)
    }

    /// Votes again for checkpoints that were executed and not certified.
    fn vote_again(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let tip = self.ledger.tip().height;
        for height in self.stable.height() + 1..=tip {
            let Some(entry) = self.ledger.entry(height).copied().filter(|entry| entry.state_root.is_some())
            else {
                continue;
            };
            let statement = self.checkpoints.executed(now.time, entry);
            if self.config.may_vote {
                // What is below comes from the disk.
                self.make_promise(Promise::Checkpoint { height }, SealWith::Share(statement), 0, effects);
            }
        }
    }

    /// A certificate above the tip, known from before the stop, is something to catch up to.
    fn aim_at_known(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let tip = self.ledger.tip().height;
        if let Some((_, certificate)) = self.certificates.range(tip + 1..).next_back() {
            let certificate = certificate.clone();
            self.on_certificate(now.time, &certificate, effects);
        }
        self.certificates.split_off(&(tip + 1));
    }
}

fn read_records<E: Engine>(records: &[Bytes], limit: usize) -> Result<Vec<E::Record>, RecoverError> {
    let read =
        |bytes: &Bytes| codec::decode(bytes, limit).map_err(|why| RecoverError::Item { height: 0, why });
    records.iter().map(read).collect()
}
