//! The mutants that are not in the product's code: what the simulator does wrong on behalf of a host or its edge. See
//! [`bft_core::mutants`].

use bft_core::codec;
use bft_core::envelope::{Envelope, Rejection};
use bft_core::host::Recovered;
use bft_core::log::{LogBatch, LogItem, LogKind};
use bft_core::mutants::Mutant;
use bft_core::verified::Verified;
use bytes::Bytes;
use engines::{AnyMessage, AnyRecord};
use pbft::Record;

pub(crate) use edge::overlook;

/// Whether a mutant is on that keeps this record from the disk.
fn is_unlogged(record: &Bytes) -> bool {
    match record_of(record) {
        Some(Record::Prepare(_)) => Mutant::PrepareUnlogged.is_on(),
        Some(Record::Prepared(_)) => Mutant::PreparedUnlogged.is_on(),
        Some(Record::ViewChange(_)) => Mutant::ViewChangeUnlogged.is_on(),
        Some(Record::NewView(_)) => Mutant::NewViewUnlogged.is_on(),
        None => false,
    }
}

/// Whether a mutant is on that lets a start pass over this record.
fn is_passed_over(record: &Bytes) -> bool {
    match record_of(record) {
        Some(Record::Prepare(_)) => Mutant::StartWithoutPrepares.is_on(),
        Some(Record::Prepared(_)) => Mutant::StartWithoutPrepared.is_on(),
        Some(Record::ViewChange(_)) => Mutant::StartWithoutViewChanges.is_on(),
        Some(Record::NewView(_)) => Mutant::StartWithoutNewViews.is_on(),
        None => false,
    }
}

fn record_of(bytes: &Bytes) -> Option<Record> {
    let AnyRecord::Pbft(record) = codec::decode(bytes, usize::MAX).ok()?;
    Some(record)
}

/// Leaves out of a batch what the mutant that is on does not log.
pub(crate) fn append(batch: &mut LogBatch) {
    if !cfg!(feature = "mutants") {
        return;
    }
    let head = batch.new_segment;
    let is_left_out = |LogItem { kind, body, .. }: &LogItem| match kind {
        LogKind::Record => is_unlogged(body) || (head && Mutant::HeadWithoutRecords.is_on()),
        LogKind::Certificate => head && Mutant::HeadWithoutCertificate.is_on(),
        LogKind::Block => Mutant::BlockUnlogged.is_on(),
        LogKind::Entry | LogKind::Mark => false,
    };
    batch.items.retain(|item| !is_left_out(item));
}

/// Leaves out of what a start finds what the mutant that is on passes over.
pub(crate) fn recover(found: &mut Recovered) {
    found.records.retain(|record| !is_passed_over(record));
}

#[cfg(feature = "mutants")]
mod edge {
    use super::{AnyMessage, Envelope, Mutant, Rejection, Verified, codec};
    use bft_core::envelope::{Body, StatePart};
    use pbft::{Message, Relay};

    /// A frame that the edge refused, if the mutant that is on skips the check that refused it.
    pub(crate) fn overlook(rejection: &Rejection, frame: &[u8]) -> Option<Verified<Envelope<AnyMessage>>> {
        let envelope: Envelope<AnyMessage> = codec::decode(frame, usize::MAX).ok()?;
        let skipped = match rejection {
            Rejection::Invalid(why) => skipped(why),
            Rejection::ClientSignature(_) => Mutant::ClientUnsigned.is_on(),
            Rejection::Signature(_) => Mutant::Unsigned.is_on(),
            Rejection::Certificate(_) => match &envelope.body {
                Body::Engine(sealed) => match &sealed.message {
                    AnyMessage::Pbft(Message::ViewChange(_) | Message::Relay(Relay::ViewChange(..))) => {
                        Mutant::PreparedUnproven.is_on()
                    }
                    AnyMessage::Pbft(_) => false,
                },
                Body::Certificate(_) => Mutant::CheckpointUnproven.is_on(),
                Body::Chain(_) => Mutant::ChainUnproven.is_on(),
                Body::State(StatePart::Offer(_)) => Mutant::OfferUnproven.is_on(),
                _ => false,
            },
            _ => false,
        };
        skipped.then(|| Verified::for_tests(envelope))
    }

    /// Whether a mutant is on that skips the check with this reason.
    fn skipped(why: &str) -> bool {
        let mutant = match why {
            "a pre-prepare not from its view's leader" => Mutant::AnyLeader,
            "the payload is not the one in the block's header" => Mutant::PayloadOfOtherRoot,
            "a new-view does not name exactly a quorum of distinct members" => Mutant::ShortNewView,
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
