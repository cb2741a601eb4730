//! Linearizability of what clients were told: for every register there is one order of its operations that explains every
//! answer, and that puts an operation before another where it returned before the other was invoked (Herlihy and Wing). An
//! operation without an answer may take effect at any later time, or never.
//!
//! Registers are checked each for itself, which is enough: linearizability is local. The search is that of Wing and Gong, with
//! Lowe's memory of what was tried.

use bft_core::types::Time;
use crypto::ClientKey;
use std::collections::{BTreeMap, BTreeSet};

/// Which write: client and sequence.
pub type Value = ([u8; 8], u64);

/// What a register holds: how often it was written, and the last write.
pub type Content = (u64, Option<Value>);

/// What a client asked for, and what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes a value and learns how many writes there are then.
    Write(Value, Option<u64>),
    /// Learns the content.
    Read(Option<Content>),
}

/// One operation on one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When the client first asked.
    pub invoked: Time,
    /// When it believed an answer; none if it has none.
    pub returned: Option<Time>,
    /// What it was.
    pub action: Action,
}

impl Operation {
    /// The content after it, unless its answer is not that of this content.
    fn apply(&self, (count, last): Content) -> Option<Content> {
        match self.action {
            Action::Write(value, told) => {
                told.is_none_or(|told| told == count + 1).then_some((count + 1, Some(value)))
            }
            Action::Read(told) => told.is_none_or(|told| told == (count, last)).then_some((count, last)),
        }
    }
}

/// Whether there is an order that explains the answers.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| operation.invoked);
    let mut search = Search { taken: vec![false; operations.len()], operations, tried: BTreeSet::new() };
    search.go_on((0, None))
}

struct Search {
    operations: Vec<Operation>,
    taken: Vec<bool>,
    tried: BTreeSet<(Vec<bool>, Content)>,
}

impl Search {
    fn go_on(&mut self, content: Content) -> bool {
        let open = self.operations.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        // What returned first must not come after what was invoked later.
        let Some(first_return) = open.filter_map(|(operation, _)| operation.returned).min() else {
            return true;
        };
        if !self.tried.insert((self.taken.clone(), content)) {
            return false;
        }
        for at in 0..self.operations.len() {
            let operation = self.operations[at];
            if operation.invoked > first_return {
                break;
            }
            if self.taken[at] {
                continue;
            }
            if let Some(next) = operation.apply(content) {
                self.taken[at] = true;
                if self.go_on(next) {
                    return true;
                }
                self.taken[at] = false;
            }
        }
        false
    }
}

/// What all clients did.
#[derive(Debug, Default)]
pub struct History {
    operations: BTreeMap<(ClientKey, u64), (u8, Operation)>,
}

impl History {
    /// A client asks for the first time.
    pub fn invoked(&mut self, now: Time, client: ClientKey, sequence: u64, register: u8, reads: bool) {
        let action = if reads { Action::Read(None) } else { Action::Write((tag(&client), sequence), None) };
        let operation = Operation { invoked: now, returned: None, action };
        self.operations.insert((client, sequence), (register, operation));
    }

    /// A client believes an answer; one that says no more than that it was carried out has no content.
    pub fn returned(&mut self, now: Time, client: ClientKey, sequence: u64, content: Content) {
        let Some((_, operation)) = self.operations.get_mut(&(client, sequence)) else { return };
        operation.returned = Some(now);
        match &mut operation.action {
            Action::Write(_, told) => *told = Some(content.0),
            Action::Read(told) => *told = Some(content),
        }
    }

    /// The operations on each register.
    pub fn registers(&self) -> BTreeMap<u8, Vec<Operation>> {
        let mut registers: BTreeMap<u8, Vec<Operation>> = BTreeMap::new();
        for (register, operation) in self.operations.values() {
            registers.entry(*register).or_default().push(*operation);
        }
        registers
    }

    /// Reads with an answer.
    pub fn reads(&self) -> u64 {
        let answered = |operation: &Operation| matches!(operation.action, Action::Read(Some(_)));
        self.operations.values().filter(|(_, operation)| answered(operation)).count() as u64
    }

    /// Operations with an answer.
    pub fn known(&self) -> u64 {
        self.operations.values().filter(|(_, operation)| operation.returned.is_some()).count() as u64
    }
}

/// What names a client in a register.
pub fn tag(client: &ClientKey) -> [u8; 8] {
    client.0.first_chunk().copied().expect("keys are longer")
}
