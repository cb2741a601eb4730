//! What a replica keeps on disk.

use crate::log::Position;
use bft_core::committee::StatementDomain;
use bft_core::types::{Height, View};
use crypto::{Digest, ReplicaId, Statement};
use serde::{Deserialize, Serialize};

/// One durable promise. The log is what the entries make in their order: each takes the place of all at its height and above, unless it is there
/// already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// In this view, and has given its vote there.
    View {
        /// The view.
        view: View,
        /// Whom it voted for.
        voted: Option<ReplicaId>,
    },
    /// This block is the entry at this place.
    Entry {
        /// The place.
        position: Position,
        /// The block's digest.
        block: Digest,
    },
    /// The log begins above this place. What it had there is forgotten, unless it had this very entry.
    Base {
        /// The place.
        position: Position,
    },
}

impl bft_core::engine::Record for Record {
    /// Nothing is signed.
    fn signed(&self, _: &StatementDomain) -> Vec<Statement> {
        Vec::new()
    }

    fn height(&self) -> Height {
        match self {
            Record::View { .. } => 0,
            Record::Entry { position, .. } | Record::Base { position } => position.height,
        }
    }

    fn account_for<'a>(_: impl Iterator<Item = &'a Record>, _: &Statement) -> bool {
        true
    }
}
