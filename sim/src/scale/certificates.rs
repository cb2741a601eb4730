//! What frames weigh under a scheme that the checksums do not have the sizes of.

use super::node::Frame;
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::engine::{CheckContext, Class, Message};
use bft_core::envelope::{Body, Envelope, Seal};
use bft_core::genesis::Limits;
use bytes::Bytes;
use crypto::{FaultModel, Scheme};
use engines::AnyMessage;

/// Bytes of a signature of a list, with the signer's number.
const LISTED_BYTES: i64 = 66;

/// Bytes of a threshold signature.
const POINT_BYTES: i64 = 48;

/// Knows how much larger or smaller a frame would be under the real scheme.
#[derive(Debug)]
pub(super) struct Weights {
    lists: bool,
    quorum: i64,
    context: CheckContext,
    last: Option<Frame>,
}

impl Weights {
    pub fn new(scheme: Scheme, trust: &Trust, limits: Limits) -> Weights {
        let context = CheckContext {
            domain: trust.domain,
            committee: trust.committee,
            limits,
            genesis_entry: trust.genesis_entry,
        };
        let lists = scheme == Scheme::Ed25519 && trust.domain.fault_model == FaultModel::Byzantine;
        Weights { lists, quorum: trust.committee.quorum() as i64, context, last: None }
    }

    /// The frame with its weight. What goes to many comes once for each, one after the other, and is weighed once.
    pub fn weigh(&mut self, from: crypto::ReplicaId, class: Class, bytes: Bytes) -> Frame {
        if !self.lists {
            return Frame { class, weight: bytes.len() as u64, bytes };
        }
        let same = |last: &&Frame| last.bytes.as_ptr() == bytes.as_ptr() && last.bytes.len() == bytes.len();
        if let Some(last) = self.last.as_ref().filter(same) {
            return Frame { class, ..last.clone() };
        }
        let more = self.difference(from, &bytes);
        let weight = (bytes.len() as i64 + more).max(1) as u64;
        let frame = Frame { class, weight, bytes };
        self.last = Some(frame.clone());
        frame
    }

    fn difference(&self, from: crypto::ReplicaId, bytes: &Bytes) -> i64 {
        let Ok(envelope) = codec::decode::<Envelope<AnyMessage>>(bytes, usize::MAX) else { return 0 };
        let mut shares = envelope.votes.len() as i64;
        let (mut certificates, mut words) = (0, 0);
        match &envelope.body {
            Body::Engine(sealed) => {
                shares += i64::from(matches!(sealed.seal, Seal::Share(_)));
                if let Ok(left) = sealed.message.check(from, &sealed.seal, &self.context) {
                    certificates += left.certificates.len() as i64;
                    words += left.aggregates.iter().map(|(words, _)| words.len() as i64).sum::<i64>();
                }
            }
            Body::Certificate(_) => certificates += 1,
            Body::Chain(part) => certificates += i64::from(part.certificate.is_some()),
            _ => {}
        }
        certificates * (self.quorum * LISTED_BYTES - POINT_BYTES) + words * LISTED_BYTES
            - shares * POINT_BYTES
    }
}
