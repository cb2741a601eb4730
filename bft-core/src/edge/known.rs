//! What was verified before, so that it is not verified again.

use crate::codec;
use crate::unordered::Unordered;
use crypto::{Aggregate, Certificate, Digest, Domain, Hasher, ReplicaId, Statement};
use std::collections::VecDeque;

/// Names remembered.
const REMEMBERED: usize = 1 << 16;

/// Names of what was verified: transactions, certificates, aggregates, evidence. Full: the oldest is forgotten, and verified again should it
/// come again.
#[derive(Debug, Default)]
pub(super) struct Known {
    set: Unordered<Digest, ()>,
    order: VecDeque<Digest>,
}

impl Known {
    pub fn contains(&self, digest: &Digest) -> bool {
        self.set.contains(digest)
    }

    pub fn insert(&mut self, digest: Digest) {
        if self.set.insert(digest, ()).is_none() {
            self.order.push_back(digest);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.set.remove(&oldest);
            }
        }
    }
}

/// Under which name a certificate over a statement is remembered.
pub(super) fn certificate_name(statement: &Statement, certificate: &Certificate) -> Digest {
    Digest::of_parts(Domain::Message, &[&statement.encode(), &codec::encode(certificate)])
}

/// The same of an aggregate. Begins with the number of words, as no statement does: no certificate has the same name.
pub(super) fn aggregate_name(words: &[(ReplicaId, Statement)], aggregate: &Aggregate) -> Digest {
    let mut hasher = Hasher::new(Domain::Message);
    hasher.update(&(words.len() as u64).to_be_bytes());
    for (signer, statement) in words {
        hasher.update(&signer.0.to_be_bytes());
        hasher.update(&statement.encode());
    }
    hasher.update(&codec::encode(aggregate));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_it_is_full() {
        let name = |number: usize| Digest::of(Domain::Test, &number.to_be_bytes());
        let mut known = Known::default();
        for number in (0..REMEMBERED).chain([0]) {
            known.insert(name(number));
        }
        assert!(known.contains(&name(0)), "it fits, and what comes again takes no place");
        known.insert(name(REMEMBERED));
        assert!(!known.contains(&name(0)) && known.contains(&name(1)) && known.contains(&name(REMEMBERED)));
    }
}
