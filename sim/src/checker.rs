//! What must hold, whatever happens. Nothing here asks the code under test whether it is right.

use crate::protocol::{self, Agreement, History, Promise, Word};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::envelope::{Body, Envelope};
use bft_core::ledger::LedgerEntry;
use bft_core::log::{Height, LogItem, LogKind};
use bft_core::receipt::{ProofError, ProvenReceipt};
use bft_core::types::{Digest, ReplicaId, Timestamp, View};
use bytes::Bytes;
use crypto::{ClientKey, FaultModel};
use engines::{AnyMessage, AnyRecord};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

pub(crate) type Verdict = Result<(), Violation>;

pub(crate) fn broken(rule: &'static str, what: String) -> Verdict {
    Err(Violation { rule, what })
}

/// What one replica has on disk.
#[derive(Debug, Default)]
struct Durable {
    words: BTreeSet<Word>,
    blocks: BTreeSet<Digest>,
}

/// One life of one replica.
#[derive(Debug, Default)]
struct Life {
    height: Height,
    view: View,
    executed: BTreeSet<(ClientKey, u64)>,
}

/// All checks of one run.
#[derive(Debug, Default)]
pub struct Checker {
    entries: BTreeMap<Height, (LedgerEntry, ReplicaId)>,
    durable: BTreeMap<ReplicaId, Durable>,
    lives: BTreeMap<ReplicaId, Life>,
    /// What the protocol's own rules have to know.
    said: BTreeMap<ReplicaId, Box<dyn History>>,
    /// What they promised together, where the protocol has rules about that.
    pub agreement: Option<Box<dyn Agreement>>,
    /// What replicas with old copies said, in any of their lives.
    told: BTreeMap<(ReplicaId, &'static str, View, Height), Digest>,
    /// Replicas that lost their disk.
    learners: BTreeSet<ReplicaId>,
    /// The highest height that each replica voted to certify, in any of its lives.
    voted: BTreeMap<ReplicaId, Height>,
    /// What honest clients submitted.
    submitted: BTreeSet<(ClientKey, u64)>,
    executed_at: BTreeMap<(ClientKey, u64), Height>,
    acknowledged: BTreeMap<(ClientKey, u64), Height>,
    /// The last frame that was found good: a message to all comes once for each recipient.
    last_sent: Option<(ReplicaId, Bytes)>,
    /// How far above what it has executed a replica may vote, if that is checked.
    pub window: Option<u64>,
    /// The latest time that an honest replica may have let pass, in microseconds.
    latest: Option<u64>,
    /// The highest height that each replica has executed in any of its lives.
    executed: BTreeMap<ReplicaId, Height>,
    /// Highest height that any honest replica executed.
    pub top: Height,
    /// Transactions executed.
    pub transactions: u64,
}

impl Checker {
    /// A client is about to submit this.
    pub fn submitted(&mut self, client: ClientKey, sequence: u64) {
        self.submitted.insert((client, sequence));
    }

    /// A replica starts, with this height executed.
    pub fn started(&mut self, replica: ReplicaId, height: Height) {
        self.lives.insert(replica, Life { height, ..Life::default() });
    }

    /// An honest replica is back after a crash, with this height executed.
    ///
    /// # Errors
    /// If it has forgotten what it signed checkpoints of: were it one of few who know, nobody could bring the others there.
    pub fn recovered(&mut self, replica: ReplicaId, executed: Height) -> Verdict {
        let voted = self.voted.get(&replica).copied().unwrap_or(0);
        // The block of the last one may have to come from others: its certificate names it.
        if executed + 1 >= voted {
            return Ok(());
        }
        broken(
            "what was voted to be certified outlives a crash",
            format!("{replica} voted for {voted} and starts with {executed}"),
        )
    }

    /// An honest replica reads a wall clock and lets pass what is of that time, or so many microseconds later.
    pub fn clock(&mut self, wall: Timestamp, tolerance: u64) {
        self.latest = self.latest.max(Some(wall.0.saturating_add(tolerance)));
    }

    /// A replica lost its disk.
    pub fn learner(&mut self, replica: ReplicaId) {
        self.durable.remove(&replica);
        self.voted.remove(&replica);
        self.learners.insert(replica);
        self.last_sent = None;
    }

    /// Items became durable at a replica.
    pub fn synced(&mut self, replica: ReplicaId, items: &[LogItem]) {
        let durable = self.durable.entry(replica).or_default();
        for item in items {
            match item.kind {
                LogKind::Record => {
                    let record: Option<AnyRecord> = codec::decode(&item.body, usize::MAX).ok();
                    durable.words.extend(record.as_ref().and_then(|record| protocol::record(record).word()));
                    // What a lost disk held was promised all the same; what a learner writes promises nothing.
                    let learns = self.learners.contains(&replica);
                    if let (Some(agreement), Some(record), false) = (&mut self.agreement, &record, learns) {
                        agreement.durable(replica, record);
                    }
                }
                LogKind::Block => durable.blocks.extend([item.digest]),
                LogKind::Entry | LogKind::Certificate | LogKind::Mark => {}
            }
        }
    }

    /// An honest replica sends a frame: no promise leaves before what it promises is on disk.
    ///
    /// # Errors
    /// If it does.
    pub fn sent(&mut self, replica: ReplicaId, frame: &Bytes) -> Verdict {
        if self.last_sent.as_ref().is_some_and(|(from, last)| *from == replica && last == frame) {
            return Ok(());
        }
        self.check_sent(replica, frame)?;
        self.last_sent = Some((replica, frame.clone()));
        Ok(())
    }

    fn check_sent(&mut self, replica: ReplicaId, frame: &[u8]) -> Verdict {
        let envelope: Envelope<AnyMessage> = codec::decode(frame, usize::MAX).map_err(|error| Violation {
            rule: "honest frames decode",
            what: format!("{replica}: {error}"),
        })?;
        let learns = self.learners.contains(&replica);
        if learns && !envelope.votes.is_empty() {
            return broken(
                "a replica that lost its disk does not vote",
                format!("{replica} sent {:?}", envelope.votes),
            );
        }
        if let Some(height) = envelope.votes.iter().map(|vote| vote.height).max() {
            let voted = self.voted.entry(replica).or_default();
            *voted = height.max(*voted);
        }
        let Body::Engine(sealed) = envelope.body else { return Ok(()) };
        let message = sealed.message;
        let said = protocol::message(&message);
        let Some(Promise { word, block, votes_at }) = said.promise() else { return Ok(()) };
        if learns {
            return broken(
                "a replica that lost its disk does not vote",
                format!("{replica} sent {message:?}"),
            );
        }
        let executed = self.executed.get(&replica).copied().unwrap_or(0);
        if self.window.is_some_and(|window| votes_at.is_some_and(|height| height > executed + window)) {
            return broken(
                "votes stay within the window",
                format!("{replica} has executed {executed} and sent {message:?}"),
            );
        }
        let nothing = Durable::default();
        let durable = self.durable.get(&replica).unwrap_or(&nothing);
        if word.is_some_and(|word| !durable.words.contains(&word)) {
            return broken("promises are durable before they leave", format!("{replica} sent {message:?}"));
        }
        self.said.entry(replica).or_insert_with(|| said.history()).says(replica, &message)?;
        if let Some(agreement) = &mut self.agreement {
            agreement.says(replica, &message)?;
        }
        // Below the durable state, blocks may have been pruned; everything a replica votes on is above it or in the log.
        if let Some(block) = block.filter(|block| !durable.blocks.contains(block)) {
            return broken(
                "a vote implies a durable block",
                format!("{replica} voted for {block} in {message:?}"),
            );
        }
        Ok(())
    }

    /// A replica that may be put back to an old copy of its disk sends a frame.
    ///
    /// # Errors
    /// If it contradicts what it sent before.
    pub fn told(&mut self, replica: ReplicaId, frame: &[u8]) -> Verdict {
        let Ok(Envelope::<AnyMessage> { body: Body::Engine(sealed), .. }) = codec::decode(frame, usize::MAX)
        else {
            return Ok(());
        };
        let message = &sealed.message;
        let word = protocol::message(message).promise().and_then(|promise| promise.word);
        let Some((kind, view, height, digest)) = word else { return Ok(()) };
        let before = *self.told.entry((replica, kind, view, height)).or_insert(digest);
        if before == digest {
            return Ok(());
        }
        broken(
            "an old copy is noticed before it votes",
            format!("{replica} sent {message:?}, and {before} before"),
        )
    }

    /// An honest replica has executed a height.
    ///
    /// # Errors
    /// If another one has another entry there, or heights were skipped.
    pub fn executed(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        let life = self.lives.entry(replica).or_default();
        if entry.height != life.height + 1 {
            return broken(
                "execution is contiguous",
                format!("{replica} went from {} to {}", life.height, entry.height),
            );
        }
        life.height = entry.height;
        if let Some(agreement) = self.agreement.as_mut().filter(|_| !self.entries.contains_key(&entry.height))
        {
            agreement.commits(replica, entry)?;
        }
        self.agrees(replica, entry)
    }

    /// An honest replica has put a fetched state in the place of its own.
    ///
    /// # Errors
    /// If it is not the state of that height, or goes back.
    pub fn installed(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        let life = self.lives.entry(replica).or_default();
        if entry.height <= life.height {
            return broken(
                "state transfer goes forward",
                format!("{replica} went from {} to {}", life.height, entry.height),
            );
        }
        life.height = entry.height;
        if !self.entries.contains_key(&entry.height) {
            return broken(
                "what is installed was executed by somebody",
                format!("{replica} has a state of height {}", entry.height),
            );
        }
        self.agrees(replica, entry)
    }

    fn agrees(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        let executed = self.executed.entry(replica).or_default();
        *executed = entry.height.max(*executed);
        // An application's time grows by a microsecond a height at least, whatever the clocks say.
        if let Some(latest) = self.latest.filter(|latest| entry.time > latest.saturating_add(entry.height)) {
            return broken(
                "time is not ahead of every clock",
                format!("height {} of {replica} is of {}, not {latest}", entry.height, entry.time),
            );
        }
        self.top = self.top.max(entry.height);
        let (agreed, first) = self.entries.entry(entry.height).or_insert((*entry, replica));
        if agreed != entry {
            return broken(
                "agreement",
                format!("at height {}: {first} has {agreed:?}, {replica} has {entry:?}", entry.height),
            );
        }
        Ok(())
    }

    /// An honest replica's application has executed a transaction.
    ///
    /// # Errors
    /// If it had before, or at another height than elsewhere, or nobody submitted it.
    pub fn applied(
        &mut self,
        replica: ReplicaId,
        height: Height,
        client: ClientKey,
        sequence: u64,
    ) -> Verdict {
        let key = (client, sequence);
        if !self.submitted.contains(&key) {
            return broken(
                "validity",
                format!("{replica} executed {sequence} of {client}, which was never submitted"),
            );
        }
        let life = self.lives.entry(replica).or_default();
        let at = *self.executed_at.entry(key).or_insert_with(|| {
            self.transactions += 1;
            height
        });
        if at != height || !life.executed.insert(key) {
            return broken(
                "at most once",
                format!("{sequence} of {client} executed at {at} and, by {replica}, at {height}"),
            );
        }
        Ok(())
    }

    /// An honest replica's view and stable height after a step.
    ///
    /// # Errors
    /// If the view went back.
    pub fn view(&mut self, replica: ReplicaId, view: View) -> Verdict {
        let life = self.lives.entry(replica).or_default();
        if view < life.view {
            return broken("views only grow", format!("{replica} went from {} to {view}", life.view));
        }
        life.view = view;
        Ok(())
    }

    /// A client got a receipt that it believes.
    ///
    /// # Errors
    /// If it does not verify, or is not of the agreed ledger.
    pub fn acknowledged(
        &mut self,
        client: ClientKey,
        sequence: u64,
        receipt: &ProvenReceipt,
        trust: &Trust,
    ) -> Verdict {
        // Where nothing is proven, the word of a replica is as good; it is judged by the ledger all the same.
        let trusted = trust.domain.fault_model == FaultModel::Crash;
        match receipt.verify(trust) {
            Err(ProofError::Trusted(_)) if trusted => {}
            Ok(()) if !trusted => {}
            other => return broken("receipts are proven", format!("{sequence} of {client}: {other:?}")),
        }
        let height = receipt.height();
        let agreed = self.entries.get(&height).map(|(entry, _)| entry);
        let shown = if trusted { Some(&receipt.certificate.entry) } else { receipt.entries.first() };
        if agreed != shown {
            return broken(
                "acknowledged is never lost",
                format!("{sequence} of {client}: height {height} is {agreed:?}"),
            );
        }
        self.acknowledged.insert((client, sequence), height);
        Ok(())
    }

    /// At the end: everything acknowledged is in the ledger that all live replicas share.
    ///
    /// # Errors
    /// If something is missing.
    pub fn finished(&self, live: &BTreeMap<ReplicaId, Height>) -> Verdict {
        let lowest = live.values().min().copied().unwrap_or(0);
        for ((client, sequence), height) in &self.acknowledged {
            let executed = self.executed_at.get(&(*client, *sequence));
            if executed.is_none_or(|executed| executed > height) || *height > lowest {
                let what =
                    format!("{sequence} of {client} at height {height}; live replicas are at {live:?}");
                return broken("acknowledged is never lost", what);
            }
        }
        Ok(())
    }
}
