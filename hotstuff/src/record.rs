//! What a replica must not forget.

use crate::message::{Node, Qc, TIMEOUT, Tc, Timeout, VOTE};
use bft_core::committee::StatementDomain;
use bft_core::types::{Height, View};
use crypto::Statement;
use serde::{Deserialize, Serialize};

/// A vote, with what it rested on: enough to say it again, and as its leader to propose the node again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// What was voted for.
    pub node: Node,
    /// The certificate of its parent.
    pub justify: Qc,
    /// Why its view began, unless `justify` says it.
    pub tc: Option<Tc>,
    /// The view locked on when it was cast.
    pub locked: View,
}

/// A timeout, with what it rested on: nobody else may be able to say why the tenure had begun that is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What was said.
    pub timeout: Timeout,
    /// Why the tenure had begun, unless the timeout's certificate says it.
    pub tc: Option<Tc>,
}

/// One durable promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Voted for this node; will not vote in its view or an earlier one again.
    Vote(Box<Ballot>),
    /// Timed out in this view; will not vote in it or an earlier one again.
    Timeout(Box<Left>),
}

impl bft_core::engine::Record for Record {
    fn signed(&self, domain: &StatementDomain) -> Vec<Statement> {
        match self {
            Record::Vote(ballot) => vec![ballot.node.statement(domain)],
            Record::Timeout(left) => vec![left.timeout.statement(domain)],
        }
    }

    fn height(&self) -> Height {
        match self {
            Record::Vote(ballot) => ballot.node.height,
            Record::Timeout(_) => 0,
        }
    }

    /// The last vote and the last timeout are always in force; of each kind, a later one takes the place of those before.
    fn account_for<'a>(mut records: impl Iterator<Item = &'a Record>, statement: &Statement) -> bool {
        let Statement { chain, epoch, protocol, fault_model, .. } = *statement;
        let domain = StatementDomain { chain, epoch, protocol, fault_model };
        let later = |record: &Record| match record {
            // Who votes in a later tenure has nothing left to say about how an earlier one was given up.
            Record::Vote(ballot) => ballot.node.view > statement.view,
            Record::Timeout(left) => statement.kind == TIMEOUT && left.timeout.view > statement.view,
        };
        ![VOTE, TIMEOUT].contains(&statement.kind)
            || records.any(|record| record.signed(&domain).contains(statement) || later(record))
    }
}
