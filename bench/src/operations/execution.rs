//! A committed block executed: sessions, application, receipts, the ledger's entry with the state's root, answers.

use super::accounts::{Accounts, MANY};
use super::committee::Committee;
use super::members::Members;
use super::operation::{Group, Operation, Prepared};
use super::transactions::BLOCK;
use bft_core::genesis::Limits;
use crypto::ProtocolTag;
use engines::AnyEngine;

pub fn operations() -> Vec<Operation> {
    vec![Operation::new(Group::Host, format!("execute/{BLOCK}"), "transaction", || {
        // Of one replica that signs nothing, what is on its disk is committed, and executed in the same step. Every height has a
        // state root.
        let limits = Limits { unsigned: true, checkpoint_interval: 1, ..Limits::default() };
        let members = Members::new(ProtocolTag::RAFT, 1, limits, Accounts { count: MANY });
        let mut replica = Committee::<AnyEngine>::start(members);
        Prepared::in_parts(BLOCK, move |stopwatch| {
            replica.submit(BLOCK);
            let (me, durable) = replica.next().expect("a block goes to disk");
            let before = replica.executed(me);
            let effects = stopwatch.time(|| replica.step(me, durable));
            assert_eq!(replica.executed(me), before + BLOCK as u64, "it is executed at once");
            replica.follow(me, effects);
            replica.settle();
        })
    })]
}
