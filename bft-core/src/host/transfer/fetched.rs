//! What is kept on disk of a state that is being fetched, so that a restart goes on where it was.
//!
//! Best effort: what was not kept is fetched again. A stretch is taken back only if it verifies against the certified root and joins
//! what was taken before it; sources are whoever gets connected, and say themselves if they no longer have that state.

use super::{Part, StateSync, Transfer};
use crate::codec;
use crate::envelope::Offer;
use crate::log::{FetchedPart, FetchedState};
use crate::mutants::Mutant;
use crate::state::Stretch;
use crate::types::Height;
use crypto::ReplicaId;
use std::collections::BTreeSet;

impl StateSync {
    /// Takes up what was kept of a state above `tip`; nothing if it cannot be used.
    pub fn resume(kept: Option<FetchedState>, tip: Height, limit: usize) -> StateSync {
        let transfer = kept.and_then(|kept| Transfer::resume(&kept, limit)).filter(|t| t.height() > tip);
        StateSync { transfer: transfer.map(Box::new), ..StateSync::default() }
    }

    /// A connection is new: who is there may have the state that was being fetched before a restart.
    pub fn met(&mut self, peer: ReplicaId) {
        if let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.resumed) {
            transfer.sources.insert(peer);
        }
    }
}

impl Transfer {
    fn resume(kept: &FetchedState, limit: usize) -> Option<Transfer> {
        let offer: Offer = codec::decode(&kept.offer, limit).ok()?;
        let root =
            offer.certificate.entry.state_root.filter(|_| offer.certificate.height() == kept.height)?;
        let mut transfer = Transfer::new(offer, root, BTreeSet::new());
        transfer.resumed = true;
        // They come in the order of their places, so that one joins the other.
        for stretch in &kept.stretches {
            let Ok(stretch) = codec::decode::<Stretch>(stretch, limit) else { continue };
            let next = |part: &Part| part.next == Some(stretch.from) && stretch.to <= part.until;
            if let Some(part) = transfer.parts.iter().position(next)
                && (stretch.verify(&root) || Mutant::StretchUnproven.is_on())
            {
                transfer.join(part, &stretch);
            }
        }
        tracing::info!(
            height = kept.height,
            bytes = transfer.bytes,
            "a state that was being fetched is taken up again"
        );
        Some(transfer)
    }

    /// What to keep of a stretch that was taken.
    pub fn to_keep(&self, stretch: &Stretch) -> FetchedPart {
        FetchedPart {
            height: self.height(),
            offer: codec::encode(&self.offer).into(),
            place: stretch.from,
            stretch: codec::encode(stretch).into(),
        }
    }
}
