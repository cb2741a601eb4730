//! The peers of the present roster, found by id and by key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crypto::{Identity, ReplicaId};

use crate::close::Closing;
use crate::gate::network;
use crate::peer::{Peer, Turn, removed};
use crate::{Hello, Limits, Roster};

/// The roster as the network uses it.
///
/// Invariant: `ids` and `peers` hold the same peers.
pub(crate) struct Directory {
    hello: Hello,
    peers: BTreeMap<ReplicaId, Arc<Peer>>,
    ids: BTreeMap<Identity, ReplicaId>,
    /// Networks of roster addresses that are given as numbers.
    networks: BTreeSet<IpAddr>,
    /// One per id that ever was in the roster: at most 65,536.
    turns: BTreeMap<ReplicaId, Arc<Turn>>,
}

impl Directory {
    pub fn new(hello: Hello) -> Directory {
        Directory {
            hello,
            peers: BTreeMap::new(),
            ids: BTreeMap::new(),
            networks: BTreeSet::new(),
            turns: BTreeMap::new(),
        }
    }

    /// Takes over a roster: retires peers that left it or changed their key, and returns those that are new.
    pub fn update(
        &mut self,
        me: ReplicaId,
        roster: &Roster,
        hello: Hello,
        limits: &Limits,
    ) -> Vec<Arc<Peer>> {
        self.hello = hello;
        self.ids.clear();
        self.networks.clear();
        let mut former = std::mem::take(&mut self.peers);
        let mut new = Vec::new();
        for (id, member) in roster.members().filter(|(id, _)| *id != me) {
            let peer = if former.get(&id).is_some_and(|peer| peer.identity == member.identity)
                && let Some(peer) = former.remove(&id)
            {
                peer.set_address(&member.address);
                peer
            } else {
                let turn = self.turns.entry(id).or_default().clone();
                let peer = Arc::new(Peer::new(id, member, limits, turn));
                new.push(peer.clone());
                peer
            };
            self.ids.insert(member.identity, id);
            if let Ok(address) = member.address.parse::<SocketAddr>() {
                self.networks.insert(network(address.ip()));
            }
            self.peers.insert(id, peer);
        }
        for peer in former.into_values() {
            peer.retire(&removed(peer.id));
        }
        new
    }

    /// Retires all peers, for good.
    pub fn retire_all(&mut self, closing: &Closing) {
        for peer in self.peers.values() {
            peer.retire(closing);
        }
    }

    pub fn hello(&self) -> Hello {
        self.hello
    }

    pub fn peer(&self, id: ReplicaId) -> Option<&Arc<Peer>> {
        self.peers.get(&id)
    }

    /// The peer that owns this key.
    pub fn owner(&self, identity: &Identity) -> Option<&Arc<Peer>> {
        self.ids.get(identity).and_then(|id| self.peers.get(id))
    }

    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.values()
    }

    /// Whether the roster names an address of this network.
    pub fn names(&self, ip: IpAddr) -> bool {
        self.networks.contains(&network(ip))
    }
}
