//! What a frame says: for the trace, and for links that carry some kinds only.

use crate::protocol;
use bft_core::codec;
use bft_core::envelope::{Body, Envelope};
use engines::AnyMessage;

/// Whether a frame is about which view to be in.
pub(crate) fn changes_views(frame: &[u8]) -> bool {
    let envelope = codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX);
    envelope.is_ok_and(|envelope| match envelope.body {
        Body::Engine(sealed) => protocol::message(&sealed.message).changes_views(),
        // Transactions too: whoever has none does not lose patience.
        Body::Forward(_) => true,
        _ => false,
    })
}

/// Whether it tells of a lie.
pub(crate) fn is_evidence(frame: &[u8]) -> bool {
    let envelope = codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX);
    envelope.is_ok_and(|envelope| matches!(envelope.body, Body::Evidence(_)))
}

/// In words.
pub(crate) fn describe(body: &Body<AnyMessage>) -> String {
    match body {
        Body::Engine(sealed) => format!("{:?}", sealed.message),
        other => other.kind().to_owned(),
    }
}
