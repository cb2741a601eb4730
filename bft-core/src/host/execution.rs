//! Execution: from a committed block to a ledger entry and receipts.

use super::block_receipts::{self, BlockReceipts};
use super::directory::Directory;
use super::places::Places;
use super::session::Verdict;
use crate::block::{Block, Header};
use crate::codec;
use crate::genesis::{FIRST_EPOCH, Genesis, GenesisError};
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::log::{LoadedState, StateBatch};
use crate::machine::StateMachine;
use crate::mutants::Mutant;
use crate::receipt::{ProvenReceipt, Receipt, code};
use crate::request::{AnswerBytes, ProvenAnswer, ProvenRead, Reply, encode_result};
use crate::state::{State, Tree, View};
use crate::transaction::ItemKey;
use crate::types::{Height, Timestamp};
use bytes::Bytes;
use crypto::{Digest, ReplicaId, merkle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of one height's receipts on disk, at most.
const RECEIPTS_LIMIT: usize = 1 << 30;

/// Receipts outlive `receipt_heights` while they are younger than this, in microseconds of block time: an idle network may commit
/// hundreds of small blocks a second, and a client that turns to another replica is to find its receipt there.
const RECEIPT_TIME_US: u64 = 10_000_000;
/// The same, for as long as there are no more settled transactions than this.
const RECENT_RECEIPTS: usize = 1 << 18;

/// The application's state with everything around it.
#[derive(Debug)]
pub struct Ledger<A> {
    pub(super) app: A,
    pub(super) genesis: Arc<Genesis>,
    chain: Digest,
    pub(super) state: State,
    pub(super) directory: Directory,
    tip: LedgerEntry,
    tip_header: Option<Header>,
    receipts: BTreeMap<Height, BlockReceipts>,
    /// Trees over the receipts of heights above the last certified one: clients wait for proofs under them.
    receipt_trees: BTreeMap<Height, merkle::Tree>,
    /// Where each settled sequence executed.
    by_key: Places,
    /// Trees at checkpoint heights above the last certified one.
    trees: BTreeMap<Height, (Option<Header>, Tree)>,
    /// The certified state that queries and other replicas read.
    certified: Option<(CheckpointCertificate, Option<Header>, Tree)>,
    /// Heights whose receipts are not on disk yet.
    unflushed_from: Height,
    /// The state on disk has nothing to do with this one.
    replaced: bool,
    /// See [`Ledger::owes`].
    owes: Height,
    /// The highest executed height that is to be certified.
    checkpoint: Height,
}

/// What the state store keeps of a height: the certificate over it as well, so that its receipts can be proven after a
/// restart by few entries.
type Stored = (BlockReceipts, Option<CheckpointCertificate>);

/// What the state store keeps beside the state.
#[derive(Serialize, Deserialize)]
struct Meta {
    tip: LedgerEntry,
    tip_header: Option<Header>,
    stable: CheckpointCertificate,
}

/// Certificates by height.
pub type Certificates = BTreeMap<Height, CheckpointCertificate>;

/// Where a transaction of a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not executed, as far as this replica knows.
    Unknown,
    /// Executed at this height, at this place.
    Executed(Height, u32),
    /// Executed or given up so long ago that the receipt is gone.
    Forgotten,
}

/// A state that this program did not write, or that does not belong to the genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state on disk cannot be used: {0}; restore the data directory, or let the replica start on an empty one and catch up"
)]
pub struct BadState(pub String);

/// Runs the application's genesis; gives its state and root.
///
/// # Errors
/// If the application refuses its configuration.
pub fn genesis_state<A: StateMachine>(app: &A, genesis: &Genesis) -> Result<(State, Digest), GenesisError> {
    let mut state = State::default();
    Directory::genesis(&genesis.organisations, &mut state);
    app.genesis(&genesis.application.config, &mut state).map_err(|why| {
        GenesisError(format!("the application {:?} refuses its configuration: {why}", app.name()))
    })?;
    let root = state.root();
    Ok((state, root))
}

impl<A: StateMachine> Ledger<A> {
    /// The state of height 0.
    ///
    /// # Errors
    /// If the application's state is not the one the members agreed on.
    pub fn genesis(app: A, genesis: Arc<Genesis>) -> Result<Ledger<A>, GenesisError> {
        if app.name() != genesis.application.name {
            return Err(GenesisError(format!(
                "it is for the application {:?}, this program runs {:?}",
                genesis.application.name,
                app.name()
            )));
        }
        let (state, root) = genesis_state(&app, &genesis)?;
        if root != genesis.state_root {
            return Err(GenesisError(format!(
                "its state root is {}, this program's application makes {root}: another version of the application, or an edited file",
                genesis.state_root
            )));
        }
        let directory = Directory::load(&genesis.organisations, &state).map_err(GenesisError)?;
        let stable = CheckpointCertificate { entry: genesis.entry(), proof: None };
        let tree = state.tree().clone();
        Ok(Ledger {
            app,
            chain: genesis.chain(),
            tip: genesis.entry(),
            genesis,
            state,
            directory,
            tip_header: None,
            receipts: BTreeMap::new(),
            receipt_trees: BTreeMap::new(),
            by_key: Places::default(),
            trees: BTreeMap::new(),
            certified: Some((stable, None, tree)),
            unflushed_from: 1,
            replaced: false,
            owes: 0,
            checkpoint: 0,
        })
    }

    /// The state that was flushed to disk, in place of the genesis, and the certificates over it and the heights before.
    ///
    /// # Errors
    /// If it is damaged or of another chain.
    pub fn load(mut self, loaded: LoadedState) -> Result<(Ledger<A>, Certificates), BadState> {
        let bad = |what: String| BadState(what);
        let meta: Meta =
            codec::decode(&loaded.meta, 1 << 20).map_err(|error| bad(format!("its summary: {error}")))?;
        if meta.tip.height != loaded.height {
            return Err(bad(format!("it says height {}, its summary {}", loaded.height, meta.tip.height)));
        }
        if meta.stable.height() > loaded.height || loaded.height.max(meta.tip.time) >= 1 << 63 {
            return Err(bad(format!(
                "its summary has height {}, time {} and a certificate of height {}, which no ledger has",
                loaded.height,
                meta.tip.time,
                meta.stable.height()
            )));
        }
        self.state = State::default();
        for (key, value) in loaded.pairs {
            self.state.restore(key, value);
        }
        let root = self.state.root();
        if meta.tip.state_root != Some(root) {
            return Err(bad(format!(
                "its root is {root}, at height {} it was {:?}",
                loaded.height, meta.tip.state_root
            )));
        }
        self.state.take_writes();
        self.directory = Directory::load(&self.genesis.organisations, &self.state).map_err(bad)?;
        let mut certificates = Certificates::new();
        for (height, bytes) in loaded.receipts {
            let (block, certificate): Stored = codec::decode(&bytes, RECEIPTS_LIMIT)
                .map_err(|error| bad(format!("receipts of height {height}: {error}")))?;
            self.keep_receipts(height, block);
            certificates.extend(certificate.map(|certificate| (height, certificate)));
        }
        self.tip = meta.tip;
        self.tip_header = meta.tip_header;
        (self.owes, self.checkpoint) = (meta.tip.height, meta.tip.height);
        self.unflushed_from = meta.stable.height() + 1;
        self.trees.insert(meta.tip.height, (meta.tip_header, self.state.tree().clone()));
        self.certified = None;
        certificates.insert(meta.stable.height(), meta.stable);
        Ok((self, certificates))
    }

    /// The last executed entry.
    pub fn tip(&self) -> &LedgerEntry {
        &self.tip
    }

    /// Its block's header.
    pub fn tip_header(&self) -> Option<Header> {
        self.tip_header
    }

    /// The highest executed height that wants a certificate at or above it: it holds transactions, or is to be certified. Empty
    /// blocks that only flush what is below them do not.
    pub fn owes(&self) -> Height {
        self.owes
    }

    /// Whether transactions were executed that nothing executed is to certify.
    pub fn is_open(&self) -> bool {
        self.owes > self.checkpoint
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// Who may transact.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether the entry of a block with this header carries a state root and is to be certified.
    pub fn is_checkpoint(&self, header: &Header) -> bool {
        header.checkpoint || header.height.is_multiple_of(self.genesis.limits.checkpoint_interval)
    }

    /// Executes the block of the next height.
    pub fn execute(&mut self, block: &Block) -> LedgerEntry {
        let height = self.tip.height + 1;
        assert_eq!(block.header.height, height, "blocks execute in height order");
        let time = (self.tip.time + 1).max(block.header.time.0);
        let items =
            block.payload.items(&self.chain).expect("a committed payload was checked at the edge").clone();
        let receipts: Vec<(ItemKey, Receipt)> =
            items.iter().map(|item| (item.key(), self.execute_item(item, height, Timestamp(time)))).collect();
        self.directory.write_sessions(&mut self.state);
        let tree = block_receipts::tree(&receipts);
        let state_root = self.is_checkpoint(&block.header).then(|| self.state.root());
        let entry = LedgerEntry {
            epoch: FIRST_EPOCH,
            height,
            block: block.digest(),
            time,
            receipts_root: tree.root(),
            state_root,
            next_epoch: None,
            previous: self.tip.digest(),
        };
        if state_root.is_some() {
            self.trees.insert(height, (Some(block.header), self.state.tree().clone()));
        }
        if state_root.is_some() {
            self.checkpoint = height;
        }
        if state_root.is_some() || !receipts.is_empty() {
            self.owes = height;
        }
        self.receipt_trees.insert(height, tree);
        self.keep_receipts(height, BlockReceipts { entry, receipts });
        self.tip = entry;
        self.tip_header = Some(block.header);
        entry
    }

    fn keep_receipts(&mut self, height: Height, block: BlockReceipts) {
        for (index, (key, receipt)) in block.receipts.iter().enumerate() {
            if code::settles(receipt.code) || Mutant::RefusalSettles.is_on() {
                let index = u32::try_from(index).expect("a block has fewer than 2^32 transactions");
                self.by_key.insert(*key, (height, index));
            }
        }
        let time = block.entry.time;
        self.receipts.insert(height, block);
        while let Some(oldest) = self.receipts.first_entry() {
            let promised = oldest.key().saturating_add(self.genesis.limits.receipt_heights) > height;
            let recent = oldest.get().entry.time.saturating_add(RECEIPT_TIME_US) > time;
            if promised || (recent && self.by_key.len() <= RECENT_RECEIPTS) {
                break;
            }
            let (old, block) = oldest.remove_entry();
            block.receipts.iter().for_each(|(key, _)| self.by_key.forget(key, old));
        }
    }

    /// Where a client's transaction stands.
    pub fn fate(&self, key: &ItemKey) -> Fate {
        if let Some((height, index)) = self.by_key.get(key) {
            return Fate::Executed(height, index);
        }
        let (sequence, client) = key;
        match self.directory.session(client).verdict(*sequence, self.genesis.limits.session_window) {
            Verdict::Stale => Fate::Forgotten,
            Verdict::Fresh | Verdict::TooFarAhead => Fate::Unknown,
        }
    }

    /// The entry of a height whose receipts are kept.
    pub fn entry(&self, height: Height) -> Option<&LedgerEntry> {
        self.receipts.get(&height).map(|block| &block.entry)
    }

    /// The lowest height whose receipts are kept.
    pub fn receipts_from(&self) -> Height {
        self.receipts.first_key_value().map_or(0, |(height, _)| *height)
    }

    /// The entry of the lowest height from `height` on whose receipts are kept.
    pub fn entry_from(&self, height: Height) -> Option<&LedgerEntry> {
        self.receipts.range(height..).next().map(|(_, block)| &block.entry)
    }

    /// Proofs of receipts of one height under a certificate at or above it, asked for by so many questions: of each the id and the place in the
    /// block, in ascending order of places. Questions without an answer had places that the block does not have.
    pub fn prove(
        &self,
        height: Height,
        questions: &[(u64, u32)],
        certificate: &CheckpointCertificate,
    ) -> Vec<Reply> {
        let Some(block) = self.receipts.get(&height) else { return Vec::new() };
        let entries = self.receipts.range(height..=certificate.height()).map(|(_, block)| block.entry);
        let proof = (entries.collect(), certificate);
        match self.receipt_trees.get(&height) {
            Some(tree) => block.answer(questions, tree, proof),
            None => block.answer(questions, &block.tree(), proof),
        }
    }

    /// A receipt by the word of `by`, for the crash fault model.
    pub fn trusted(&self, height: Height, index: u32, by: ReplicaId) -> Option<ProvenReceipt> {
        let block = self.receipts.get(&height)?;
        let (_, receipt) = block.receipts.get(index as usize)?;
        Some(ProvenReceipt::trusted(
            receipt.clone(),
            u64::from(index),
            block.receipts.len() as u64,
            block.entry,
            by,
        ))
    }

    /// From here on queries read the state of this certificate, if it is still at hand. Proofs of receipts at or below it take longer from now on.
    pub fn certified(&mut self, certificate: &CheckpointCertificate) {
        let later = self.trees.split_off(&(certificate.height() + 1));
        if let Some((header, tree)) = self.trees.remove(&certificate.height()) {
            self.certified = Some((certificate.clone(), header, tree));
        }
        self.trees = later;
        self.receipt_trees = self.receipt_trees.split_off(&(certificate.height() + 1));
    }

    /// The last certified state, if it is still at hand, with the header of its block.
    pub fn certified_state(&self) -> Option<(&CheckpointCertificate, Option<Header>, &Tree)> {
        self.certified.as_ref().map(|(certificate, header, tree)| (certificate, *header, tree))
    }

    /// Bytes of all keys and values.
    pub fn state_bytes(&self) -> u64 {
        self.state.bytes()
    }

    /// Puts a certified state in the place of this one. Receipts stay up to the height `answered`, at or below the tip: those that this replica
    /// can still answer for, without the entries that it never saw.
    ///
    /// # Errors
    /// If it is another state than the certificate's, or not one of this chain; nothing is changed.
    pub fn install(
        &mut self,
        certificate: &CheckpointCertificate,
        header: Option<Header>,
        pairs: Vec<(Bytes, Bytes)>,
        answered: Height,
    ) -> Result<(), BadState> {
        let entry = certificate.entry;
        let mut state = State::default();
        for (key, value) in pairs {
            state.restore(key, value);
        }
        let root = state.root();
        if entry.state_root != Some(root) && !Mutant::StateOfAnyRoot.is_on() {
            return Err(BadState(format!(
                "its root is {root}, at height {} it is {:?}",
                entry.height, entry.state_root
            )));
        }
        self.directory = Directory::load(&self.genesis.organisations, &state).map_err(BadState)?;
        self.state = state;
        for (height, block) in self.receipts.split_off(&(answered + 1)) {
            block.receipts.iter().for_each(|(key, _)| self.by_key.forget(key, height));
        }
        self.keep_receipts(entry.height, BlockReceipts { entry, receipts: Vec::new() });
        self.trees.clear();
        self.receipt_trees.clear();
        self.certified = Some((certificate.clone(), header, self.state.tree().clone()));
        (self.tip, self.tip_header) = (entry, header);
        (self.owes, self.checkpoint) = (entry.height, entry.height);
        self.unflushed_from = self.receipts_from();
        self.replaced = true;
        Ok(())
    }

    /// Answers a query from the last executed state, without proof.
    pub fn read(&self, request: &[u8]) -> Result<AnswerBytes, (u32, String)> {
        encode_result(self.app.query(&mut View::live(&self.state), request))
    }

    /// Answers a query from the last certified state.
    pub fn query(&self, request: &[u8]) -> Option<ProvenAnswer> {
        let (certificate, _, tree) = self.certified.as_ref()?;
        let mut view = View::of(tree);
        let result = encode_result(self.app.query(&mut view, request));
        let reads = view
            .into_reads()
            .into_iter()
            .map(|key| {
                let (value, proof) = tree.prove(&key);
                ProvenRead { key, value: value.map(AnswerBytes), proof }
            })
            .collect();
        Some(ProvenAnswer { result, reads, certificate: certificate.clone() })
    }

    /// The step from what is on disk to the tip, which must be at a checkpoint height. Heights above `stable` are written
    /// again in the next step, with their certificates.
    pub fn batch(
        &mut self,
        stable: &CheckpointCertificate,
        certificates: &Certificates,
        log_sequence: u64,
    ) -> StateBatch {
        assert!(self.tip.state_root.is_some(), "state goes to disk at checkpoint heights");
        let meta = Meta { tip: self.tip, tip_header: self.tip_header, stable: stable.clone() };
        // As [`Stored`], without a copy.
        let store = |(height, block): (&Height, &BlockReceipts)| {
            (*height, codec::encode(&(block, certificates.get(height))).into())
        };
        let receipts = self.receipts.range(self.unflushed_from..).map(store).collect();
        self.unflushed_from = stable.height() + 1;
        StateBatch {
            height: self.tip.height,
            log_sequence,
            replace: std::mem::take(&mut self.replaced),
            writes: self.state.take_writes(),
            receipts,
            receipts_from: self.receipts_from(),
            meta: codec::encode(&meta).into(),
        }
    }
}
