//! The classes of frames between replicas.

use std::fmt;

/// What a frame between replicas is, as far as the transport cares: its stream, its priority, its bounds.
///
/// Each class has one unidirectional stream per direction and connection. Frames of one class arrive in the order they
/// were sent; classes overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small and urgent: votes, timeouts, view changes, heartbeats, checkpoint shares.
    Vote,
    /// Proposals and Raft appends.
    Proposal,
    /// Transactions on their way to a leader.
    Pool,
    /// Block sync and state transfer.
    Sync,
}

/// Which frame a full send queue gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The oldest: later frames supersede it.
    DropOldest,
    /// The one that was about to enter: those before it have waited longer.
    DropNewest,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 4;

    /// All classes, the most urgent first; `ALL[i].index() == i`.
    pub const ALL: [Class; Class::COUNT] = [Class::Vote, Class::Proposal, Class::Pool, Class::Sync];

    /// The place in [`Class::ALL`], from 0.
    pub fn index(self) -> usize {
        match self {
            Class::Vote => 0,
            Class::Proposal => 1,
            Class::Pool => 2,
            Class::Sync => 3,
        }
    }

    /// The name in logs, metrics and errors.
    pub fn name(self) -> &'static str {
        match self {
            Class::Vote => "vote",
            Class::Proposal => "proposal",
            Class::Pool => "pool",
            Class::Sync => "sync",
        }
    }

    /// The first byte of the class's stream: 1 to 4.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Class::Vote => 1,
            Class::Proposal => 2,
            Class::Pool => 3,
            Class::Sync => 4,
        }
    }

    /// The class whose streams begin with `byte`.
    pub(crate) fn from_byte(byte: u8) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.byte() == byte)
    }

    /// The stream's priority: a higher one is sent first whenever both have data.
    pub(crate) fn priority(self) -> i32 {
        match self {
            Class::Vote => 3,
            Class::Proposal => 2,
            Class::Pool => 1,
            Class::Sync => 0,
        }
    }

    /// What a full queue does. A later view's vote or proposal supersedes an earlier one; a transaction or a piece of a
    /// snapshot is superseded by nothing, and its sender or requester asks again.
    pub(crate) fn overflow(self) -> Overflow {
        match self {
            Class::Vote | Class::Proposal => Overflow::DropOldest,
            Class::Pool | Class::Sync => Overflow::DropNewest,
        }
    }

    /// Whether frames wait in the queue while the peer is not connected. The newest votes are what a returning peer needs first;
    /// old transactions and answers to old requests are not. Nor are proposals: megabytes of them would stand before the
    /// blocks that it lacks, and engines say again what is still open.
    pub(crate) fn waits_for_connection(self) -> bool {
        match self {
            Class::Vote => true,
            Class::Proposal | Class::Pool | Class::Sync => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_indexes_are_inverse_and_priorities_fall() {
        for (i, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), i);
            assert_eq!(Class::from_byte(class.byte()), Some(class));
        }
        assert!(Class::ALL.windows(2).all(|pair| pair[0].priority() > pair[1].priority()));
        assert_eq!(Class::from_byte(0), None);
        assert_eq!(Class::from_byte(5), None);
    }
}
