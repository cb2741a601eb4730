//! The mutants that are not in the product's code: what the simulator does wrong on behalf of a host or its edge. See
//! [`bft_core::mutants`].

use crate::protocol::{self, Record};
use bft_core::codec;
use bft_core::envelope::{Envelope, Rejection};
use bft_core::host::Recovered;
use bft_core::log::{LogBatch, LogItem, LogKind};
use bft_core::mutants::Mutant;
use bft_core::verified::Verified;
use bytes::Bytes;
use engines::AnyMessage;

pub(crate) use edge::overlook;

/// What a record in the log is, to the protocol that wrote it.
fn of_record(bytes: &Bytes, is: impl Fn(&dyn Record) -> bool) -> bool {
    codec::decode(bytes, usize::MAX).is_ok_and(|record| is(protocol::record(&record)))
}

/// Leaves out of a batch what the mutant that is on does not log.
pub(crate) fn append(batch: &mut LogBatch) {
    if !cfg!(feature = "mutants") {
        return;
    }
    let head = batch.new_segment;
    let is_left_out = |LogItem { kind, body, .. }: &LogItem| match kind {
        LogKind::Record => {
            of_record(body, |record| record.is_unlogged()) || (head && Mutant::HeadWithoutRecords.is_on())
        }
        LogKind::Certificate => head && Mutant::HeadWithoutCertificate.is_on(),
        LogKind::Block => Mutant::BlockUnlogged.is_on(),
        LogKind::Entry | LogKind::Mark => false,
    };
    batch.items.retain(|item| !is_left_out(item));
}

/// Leaves out of what a start finds what the mutant that is on passes over.
pub(crate) fn recover(found: &mut Recovered) {
    found.records.retain(|record| !of_record(record, |record| record.is_passed_over()));
}

#[cfg(feature = "mutants")]
mod edge {
    use super::{AnyMessage, Envelope, Mutant, Rejection, Verified, codec, protocol};
    use bft_core::envelope::{Body, StatePart};

    /// A frame that the edge refused, if the mutant that is on skips the check that refused it.
    pub(crate) fn overlook(rejection: &Rejection, frame: &[u8]) -> Option<Verified<Envelope<AnyMessage>>> {
        let envelope: Envelope<AnyMessage> = codec::decode(frame, usize::MAX).ok()?;
        let skipped = match rejection {
            Rejection::Invalid(why) => skipped(why),
            Rejection::ClientSignature(_) => Mutant::ClientUnsigned.is_on(),
            Rejection::Signature(_) => Mutant::Unsigned.is_on(),
            Rejection::Certificate(_) => match &envelope.body {
                Body::Certificate(_) => Mutant::CheckpointUnproven.is_on(),
                Body::Chain(_) => Mutant::ChainUnproven.is_on(),
                Body::State(StatePart::Offer(_)) => Mutant::OfferUnproven.is_on(),
                _ => false,
            },
            _ => false,
        };
        let of_protocol = |body: &Body<AnyMessage>| match body {
            Body::Engine(sealed) => protocol::message(&sealed.message).is_overlooked(rejection),
            _ => false,
        };
        let skipped = skipped || of_protocol(&envelope.body);
        skipped.then(|| Verified::for_tests(envelope))
    }

    /// Whether a mutant is on that skips the check with this reason.
    fn skipped(why: &str) -> bool {
        let mutant = match why {
            "the payload is not the one in the block's header" => Mutant::PayloadOfOtherRoot,
            "a checkpoint other than the genesis without a certificate" => Mutant::CheckpointUnsigned,
            "the entries do not link up to the certificate" => Mutant::ChainUnlinked,
            "a block is not the one of its entry" => Mutant::BlockOfOtherEntry,
            "a stretch of the state that does not verify against its root" => Mutant::StretchUnproven,
            _ => return false,
        };
        mutant.is_on()
    }
}

#[cfg(not(feature = "mutants"))]
mod edge {
    use super::{AnyMessage, Envelope, Rejection, Verified};

    /// A frame that the edge refused stays refused.
    pub(crate) fn overlook(_: &Rejection, _: &[u8]) -> Option<Verified<Envelope<AnyMessage>>> {
        None
    }
}
