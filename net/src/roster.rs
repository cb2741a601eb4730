//! Who may connect as a replica, and where it listens.

use std::collections::BTreeMap;

use crypto::{Identity, ReplicaId};

/// One replica of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The Ed25519 key that its end of every connection must own.
    pub identity: Identity,
    /// Where it listens: `host:port`. Names are resolved at every dial.
    pub address: String,
}

/// Why a roster is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The same key twice (threat 95).
    #[error("{first} and {second} have the same identity {identity}; give every replica a key of its own")]
    SharedIdentity {
        /// The replica that was added first.
        first: ReplicaId,
        /// The replica whose key is not its own.
        second: ReplicaId,
        /// The shared key.
        identity: Identity,
    },
    /// The same id twice.
    #[error("{id} occurs twice, with identities {first} and {second}; number the replicas apart")]
    SharedId {
        /// The id.
        id: ReplicaId,
        /// The identity that was added first.
        first: Identity,
        /// The identity that came later under the same id.
        second: Identity,
    },
    /// A key that no honest replica has (threat 51).
    #[error("the identity {identity} of {id} is refused: {source}; generate a new key for that replica")]
    Identity {
        /// The replica.
        id: ReplicaId,
        /// Its key.
        identity: Identity,
        /// What is wrong with the key.
        source: crypto::SignatureError,
    },
    /// An address without a port.
    #[error("the address {address:?} of {id} is not host:port; write it like \"replica-3.example.org:7000\"")]
    Address {
        /// The replica.
        id: ReplicaId,
        /// Its address as given.
        address: String,
    },
}

/// The replicas that may connect to each other, by id and by key.
///
/// Invariant: the keys are valid and no two members share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    members: BTreeMap<ReplicaId, Member>,
    ids: BTreeMap<Identity, ReplicaId>,
}

impl Roster {
    /// A roster of `members`; refuses an id or a key that occurs twice.
    pub fn new(members: impl IntoIterator<Item = (ReplicaId, Member)>) -> Result<Roster, RosterError> {
        let mut roster = Roster::default();
        for (id, member) in members {
            roster.add(id, member)?;
        }
        Ok(roster)
    }

    fn add(&mut self, id: ReplicaId, member: Member) -> Result<(), RosterError> {
        let identity = member.identity;
        if let Some(first) = self.members.get(&id) {
            return Err(RosterError::SharedId { id, first: first.identity, second: identity });
        }
        if let Some(&first) = self.ids.get(&identity) {
            return Err(RosterError::SharedIdentity { first, second: id, identity });
        }
        identity.validate().map_err(|source| RosterError::Identity { id, identity, source })?;
        let port = member.address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(RosterError::Address { id, address: member.address });
        }
        self.ids.insert(identity, id);
        self.members.insert(id, member);
        Ok(())
    }

    /// The member with this id.
    pub fn member(&self, id: ReplicaId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The id of the member that owns this key.
    pub fn id_of(&self, identity: &Identity) -> Option<ReplicaId> {
        self.ids.get(identity).copied()
    }

    /// All members, by rising id.
    pub fn members(&self) -> impl Iterator<Item = (ReplicaId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crypto::IdentitySecret;

    use super::*;

    fn member(seed: u8) -> Member {
        let identity = IdentitySecret::from_seed([seed; 32]).public();
        Member { identity, address: format!("127.0.0.1:{}", 7000 + u16::from(seed)) }
    }

    #[test]
    fn threat_95_one_key_on_two_replicas_is_refused_by_both_names() {
        let error = Roster::new([(ReplicaId(1), member(1)), (ReplicaId(4), member(1))]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("r1") && text.contains("r4"), "{text}");
        assert!(text.contains(&member(1).identity.to_string()), "{text}");
    }

    #[test]
    fn one_id_for_two_keys_is_refused_by_both_keys() {
        let text =
            Roster::new([(ReplicaId(1), member(1)), (ReplicaId(1), member(2))]).unwrap_err().to_string();
        assert!(text.contains(&member(1).identity.to_string()), "{text}");
        assert!(text.contains(&member(2).identity.to_string()), "{text}");
    }

    #[test]
    fn weak_keys_and_addresses_without_a_port_are_refused() {
        let weak = Member { identity: Identity([0; 32]), ..member(1) };
        assert!(matches!(Roster::new([(ReplicaId(0), weak)]), Err(RosterError::Identity { .. })));
        for address in ["localhost", "localhost:", ":7000", "localhost:70000"] {
            let wrong = Member { address: address.into(), ..member(1) };
            assert!(
                matches!(Roster::new([(ReplicaId(0), wrong)]), Err(RosterError::Address { .. })),
                "{address}"
            );
        }
    }

    #[test]
    fn lookups_agree() {
        let roster = Roster::new((0..4).map(|i| (ReplicaId(u16::from(i)), member(i + 1)))).unwrap();
        assert_eq!(roster.len(), 4);
        for (id, member) in roster.members() {
            assert_eq!(roster.id_of(&member.identity), Some(id));
            assert_eq!(roster.member(id), Some(member));
        }
    }
}
