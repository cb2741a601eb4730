//! What an operator is told.

use super::Host;
use super::accounting::Accounting;
use crate::engine::{Engine, Status, WaitsFor};
use crate::machine::StateMachine;
use crate::request::StatusReport;
use crate::types::{Height, View};
use crypto::ReplicaId;

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// The replica's own view of things. Connections are filled in by whoever has them.
    pub fn report(&self) -> StatusReport {
        let Status { epoch, view, leader, active, committed, waits_for } = self.engine.status();
        StatusReport {
            replica: self.config.me,
            chain: self.config.trust.domain.chain,
            epoch,
            protocol: self.config.genesis.protocol.to_string(),
            view,
            leader,
            active,
            votes: self.config.may_vote,
            committed: committed.max(self.ledger.tip().height),
            executed: self.ledger.tip().height,
            stable: self.stable.height(),
            owes: self.ledger.owes(),
            state_root: self.stable.entry.state_root,
            pooled: self.pool.len() as u64,
            evidence: self.evidence().count() as u64,
            waits_for: self
                .transfer_in_words()
                .into_iter()
                .chain(self.recall_in_words())
                .chain(waits_for.iter().map(|wait| self.in_words(wait)))
                .collect(),
            peers: Vec::new(),
            counters: Vec::new(),
        }
    }

    fn in_words(&self, wait: &WaitsFor) -> String {
        let height = wait.height.map_or(String::new(), |height| format!(" of height {height}"));
        // One message of one replica, which it says.
        if wait.needed == 1 {
            return format!("{}{height}", wait.what);
        }
        let missing: Vec<String> = self
            .config
            .trust
            .committee
            .members()
            .filter(|replica| !wait.from.contains(replica))
            .map(|replica| replica.to_string())
            .collect();
        format!(
            "{}{height}: {} of {}; not from {}",
            wait.what,
            wait.from.len(),
            wait.needed,
            missing.join(", ")
        )
    }

    /// Which replica it is.
    pub fn me(&self) -> ReplicaId {
        self.config.me
    }

    /// What was executed since the start.
    pub fn totals(&self) -> super::Totals {
        self.totals
    }

    /// Traffic so far.
    pub fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// The engine's view.
    pub fn engine_view(&self) -> View {
        self.engine.status().view
    }

    /// Highest height executed.
    pub fn executed(&self) -> Height {
        self.ledger.tip().height
    }

    /// Whether nothing executed waits for a certificate.
    pub fn is_certified(&self) -> bool {
        self.ledger.owes() <= self.stable.height()
    }

    /// The entry of a recent height.
    pub fn entry(&self, height: Height) -> Option<&crate::ledger::LedgerEntry> {
        self.ledger.entry(height)
    }

    /// The entry of the lowest recent height that is not below `height`: state transfer leaves gaps.
    pub fn entry_from(&self, height: Height) -> Option<&crate::ledger::LedgerEntry> {
        self.ledger.entry_from(height)
    }

    /// Whether it stopped for good.
    pub fn halted(&self) -> bool {
        self.halted
    }

    /// Panics if a state is reached that no correct run reaches.
    pub fn invariants(&self) {
        self.engine.invariants();
        assert!(self.stable.height() <= self.ledger.tip().height, "stable beyond what is executed");
        let tip = self.ledger.tip().height;
        assert!(
            self.committed.keys().all(|height| *height > tip),
            "a committed height was executed and kept"
        );
    }
}
