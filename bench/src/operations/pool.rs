//! From a client into the pool.

use super::accounts::Accounts;
use super::members::Members;
use super::operation::{Group, Operation, Prepared};
use super::transactions::{BLOCK, Submissions};
use bft_core::edge::Edge;
use bft_core::genesis::Limits;
use bft_core::host::{Effect, Event, Host, Recovered};
use bft_core::request::Request;
use bft_core::types::{Now, ReplicaId, Time, Timestamp};
use bft_core::verified::Verified;
use crypto::ProtocolTag;
use engines::AnyEngine;

/// Requests that have gathered when a host gets to them.
const GATHERED: usize = 16;

const NOW: Now = Now { time: Time(1), wall: Timestamp(1_000_000) };

pub fn operations() -> Vec<Operation> {
    // The second replica does not lead, and sends on what it takes in.
    [("admit", ReplicaId(0)), ("admit-and-forward", ReplicaId(1))].map(|(name, me)| admit(name, me)).into()
}

fn admit(name: &'static str, me: ReplicaId) -> Operation {
    Operation::new(Group::Host, name, "transaction", move || {
        let limits = Limits { unsigned: true, ..Limits::default() };
        let members = Members::new(ProtocolTag::PBFT, 4, limits, Accounts { count: 1 });
        let edge = members.edge();
        Prepared::in_parts(BLOCK, move |stopwatch| {
            let (mut host, requests) = start(&members, me, &edge);
            let effects = stopwatch.time(|| {
                let mut effects = Vec::new();
                let mut requests = requests.into_iter().peekable();
                while requests.peek().is_some() {
                    for request in requests.by_ref().take(GATHERED) {
                        host.step(NOW, Event::Request { client: 1, request }, &mut effects);
                    }
                    host.flush(NOW, &mut effects);
                }
                effects
            });
            let refused = effects.iter().any(|effect| matches!(effect, Effect::Reply { .. }));
            assert!(!refused, "a transaction is answered when it is executed");
            assert_eq!(host.report().pooled, BLOCK as u64 + 1);
        })
    })
}

/// A host with a block in agreement, so that what comes now waits for the next one; and what comes.
fn start(
    members: &Members,
    me: ReplicaId,
    edge: &Edge,
) -> (Host<AnyEngine, Accounts>, Vec<Verified<Request>>) {
    let mut effects = Vec::new();
    let config = members.host_config(me);
    let mut host = Host::recover(config, members.app, Recovered::default(), NOW, &mut effects)
        .expect("a replica starts from its genesis");
    let mut requests = Submissions::new(members.trust.domain.chain).take(BLOCK + 1, edge);
    let first = requests.pop().expect("one more than is measured");
    host.step(NOW, Event::Request { client: 1, request: first }, &mut effects);
    host.flush(NOW, &mut effects);
    (host, requests)
}
