//! What a replica must not forget.

use crate::message::{COMMIT, NEW_VIEW, NewView, PREPARE, Prepared, VIEW_CHANGE, ViewChange, Vote};
use bft_core::committee::StatementDomain;
use bft_core::types::Height;
use crypto::{ReplicaId, Signature, Statement};
use serde::{Deserialize, Serialize};

/// A view-change with its author's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedViewChange {
    /// Who sent it.
    pub author: ReplicaId,
    /// What it says.
    pub change: ViewChange,
    /// The author's signature.
    pub signature: Signature,
}

/// Why a replica is in a view: the leader's word and the view-changes it names, in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewViewProof {
    /// The leader's word.
    pub new_view: NewView,
    /// Its signature; none in the leader's own record, written before it signs.
    pub signature: Option<Signature>,
    /// What `new_view` names.
    pub changes: Vec<SignedViewChange>,
}

/// One durable promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Accepted this block; will not accept another in this view at this height.
    Prepare(Vote),
    /// Holds this certificate; may have sent commit.
    Prepared(Prepared),
    /// Left all views before this one.
    ViewChange(ViewChange),
    /// Entered, or as its leader began, this view.
    NewView(NewViewProof),
}

impl bft_core::engine::Record for Record {
    fn signed(&self, domain: &StatementDomain) -> Vec<Statement> {
        match self {
            Record::Prepare(vote) => vec![vote.statement(PREPARE, domain)],
            Record::Prepared(prepared) => vec![prepared.vote.statement(COMMIT, domain)],
            Record::ViewChange(change) => vec![change.statement(domain)],
            Record::NewView(NewViewProof { new_view, signature: None, .. }) => {
                vec![new_view.statement(domain)]
            }
            Record::NewView(_) => Vec::new(),
        }
    }

    fn height(&self) -> Height {
        match self {
            Record::Prepare(vote) => vote.height,
            Record::Prepared(prepared) => prepared.vote.height,
            Record::ViewChange(_) | Record::NewView(_) => 0,
        }
    }

    /// What [`crate::Message`]'s `contradiction` says of records, from the other end: the record that was written before a statement was
    /// signed is in force until one of a later view takes its place.
    fn account_for<'a>(mut records: impl Iterator<Item = &'a Record>, statement: &Statement) -> bool {
        let Statement { kind, view, height, .. } = *statement;
        let Statement { chain, epoch, protocol, fault_model, .. } = *statement;
        let domain = StatementDomain { chain, epoch, protocol, fault_model };
        let later_vote = |vote: &Vote| vote.height == height && vote.view > view;
        let same = |record: &Record| record.signed(&domain).contains(statement);
        match kind {
            PREPARE => records
                .any(|record| same(record) || matches!(record, Record::Prepare(vote) if later_vote(vote))),
            COMMIT => records.any(|record| {
                same(record) || matches!(record, Record::Prepared(prepared) if later_vote(&prepared.vote))
            }),
            // Who enters a view has nothing left to say about how it was left, or begun.
            VIEW_CHANGE | NEW_VIEW => records.any(|record| {
                same(record)
                    || match record {
                        Record::ViewChange(change) => change.view > view,
                        Record::NewView(proof) => proof.signature.is_some() && proof.new_view.view >= view,
                        Record::Prepare(_) | Record::Prepared(_) => false,
                    }
            }),
            _ => true,
        }
    }
}
