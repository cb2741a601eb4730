//! Reading: the form of what comes in is checked, and what remains to be verified of it is noted down.

use super::{Edge, MAX_FETCH};
use crate::block::Block;
use crate::codec;
use crate::engine::{CheckContext, Message};
use crate::envelope::{Body, ChainPart, Envelope, Obligations, Rejection, StatePart};
use crate::ledger::CheckpointCertificate;
use crate::request::{Call, Request};
use crate::transaction::{Item, Payload};
use crypto::{Aggregate, Certificate, FaultModel, ReplicaId, Signature, Statement};
use std::sync::atomic::Ordering::Relaxed;

/// A frame of a replica whose form is right. What is signed in it is not verified.
#[derive(Debug)]
pub struct ReadFrame<M> {
    pub(super) envelope: Envelope<M>,
    pub(super) work: Work,
}

impl<M> ReadFrame<M> {
    /// Whether it brings a checkpoint's certificate and nothing else.
    pub fn is_certificate(&self) -> bool {
        matches!(self.envelope.body, Body::Certificate(_)) && self.envelope.votes.is_empty()
    }
}

/// Crypto work of one frame.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub items: Vec<Item>,
    pub certificates: Vec<(Statement, Certificate)>,
    pub aggregates: Vec<(Vec<(ReplicaId, Statement)>, Aggregate)>,
    pub signatures: Vec<(ReplicaId, Statement, Signature)>,
}

impl Edge {
    pub(super) fn read_request(&self, bytes: &[u8]) -> Result<(Request, Work), Rejection> {
        let limit = self.context.limits.transaction_bytes as usize + 512;
        let request: Request = codec::decode(bytes, limit)?;
        let mut work = Work::default();
        match &request.call {
            Call::Submit(payload) => {
                let items = self.check_payload(payload)?;
                if items.len() != 1 {
                    return Err(Rejection::Invalid("a submission carries exactly one transaction"));
                }
                work.items.extend(items.iter().filter(|_| !self.context.limits.unsigned).cloned());
            }
            Call::Receipt { .. }
            | Call::Read(..)
            | Call::Signed
            | Call::Session(_)
            | Call::Status
            | Call::Evidence => {}
        }
        Ok((request, work))
    }

    pub(super) fn read_envelope<M: Message>(
        &self,
        from: ReplicaId,
        bytes: &[u8],
    ) -> Result<ReadFrame<M>, Rejection> {
        let envelope: Envelope<M> = codec::decode(bytes, self.context.limits.frame_bytes())?;
        let ours = self.context.domain.epoch;
        if envelope.epoch != ours {
            return Err(Rejection::Epoch { theirs: envelope.epoch, ours });
        }
        bounded("checkpoint votes in a frame", envelope.votes.len(), MAX_FETCH)?;
        let mut work = Work::default();
        match &envelope.body {
            Body::Engine(sealed) => {
                if let Some(height) = sealed.message.height() {
                    let stable = self.stable.load(Relaxed);
                    if height <= stable {
                        return Err(Rejection::Stale { height });
                    }
                    // A replica that is behind saves itself the signatures in what it could not use.
                    if height > stable.saturating_add(self.context.limits.reach()) {
                        return Err(Rejection::Far { height });
                    }
                }
                let Obligations { blocks, certificates, aggregates, signatures } =
                    sealed.message.check(from, &sealed.seal, &self.context)?;
                for block in &blocks {
                    work.items.extend(self.to_verify(self.check_block(block)?));
                }
                work.certificates = certificates;
                work.aggregates = aggregates;
                work.signatures = signatures;
            }
            Body::Votes | Body::FetchChain(_) | Body::FetchPromises(_) => {}
            // What is shown there is verified by whoever it is about, if it does not know it.
            Body::Promises(told) => {
                work.certificates.extend(checkpoint_obligation(&self.context, &told.stable)?);
            }
            Body::Forward(payload) => work.items.extend(self.to_verify(self.check_payload(payload)?)),
            Body::Certificate(certificate) => {
                if certificate.height() <= self.stable.load(Relaxed) {
                    return Err(Rejection::Stale { height: certificate.height() });
                }
                work.certificates.extend(checkpoint_obligation(&self.context, certificate)?);
            }
            Body::FetchBlocks(blocks) => bounded("blocks asked for", blocks.len(), MAX_FETCH)?,
            Body::Blocks(blocks, missing) => {
                bounded(
                    "blocks and absences in an answer",
                    blocks.len().saturating_add(missing.len()),
                    MAX_FETCH,
                )?;
                for block in blocks {
                    work.items.extend(self.to_verify(self.check_block(block)?));
                }
            }
            Body::Chain(part) => work.certificates.extend(self.check_chain_part(part)?),
            Body::FetchState(_) | Body::State(StatePart::Offer(None)) => {}
            Body::State(StatePart::Offer(Some(offer))) => {
                let entry = &offer.certificate.entry;
                let fits = offer.header.is_some_and(|header| header.digest() == entry.block);
                if entry.state_root.is_none() || !fits {
                    return Err(Rejection::Invalid(
                        "a snapshot without a state root, or with another block's header",
                    ));
                }
                work.certificates.extend(checkpoint_obligation(&self.context, &offer.certificate)?);
            }
            // threat 84: it is all of that stretch of a state with that root. Whether it is the root that was wanted, the host knows.
            Body::State(StatePart::Stretch { root, stretch, .. }) => {
                if !stretch.verify(root) {
                    return Err(Rejection::Invalid(
                        "a stretch of the state that does not verify against its root",
                    ));
                }
            }
            Body::Evidence(evidence) => self.check_evidence::<M>(evidence)?,
        }
        Ok(ReadFrame { envelope, work })
    }

    /// Of transactions that a replica sends: those whose signatures are verified here too. Where replicas only crash, the one that a
    /// client gave them to has done so.
    fn to_verify<'a>(&self, items: &'a [Item]) -> impl Iterator<Item = Item> + use<'a> {
        let all = !self.believes_replicas() && !self.believes_clients();
        items.iter().filter(move |_| all).cloned()
    }

    /// Form and sizes of a payload. Signatures are left to the batch.
    fn check_payload<'a>(&self, payload: &'a Payload) -> Result<&'a [Item], Rejection> {
        let limits = &self.context.limits;
        bounded("bytes of a payload", payload.bytes().len(), limits.block_bytes as usize)?;
        let items = payload.items(&self.context.domain.chain)?;
        for item in items.iter() {
            let body = item.transaction.body.len();
            bounded("bytes of a transaction's body", body, limits.transaction_bytes as usize)?;
            if limits.unsigned && !item.transaction.is_unsigned() {
                return Err(Rejection::Invalid(
                    "a signed transaction in a network whose clients do not sign",
                ));
            }
        }
        Ok(items)
    }

    fn check_block<'a>(&self, block: &'a Block) -> Result<&'a [Item], Rejection> {
        if block.header.epoch != self.context.domain.epoch {
            return Err(Rejection::Epoch { theirs: block.header.epoch, ours: self.context.domain.epoch });
        }
        let items = self.check_payload(&block.payload)?;
        if self.context.committee.fault_model == FaultModel::Byzantine && block.header.view != 0 {
            return Err(Rejection::Invalid("a block names a view, which it keeps in Raft only"));
        }
        if block.payload.root(&self.context.domain.chain)? != block.header.payload_root {
            return Err(Rejection::Invalid("the payload is not the one in the block's header"));
        }
        Ok(items)
    }

    /// Blocks under a certificate: form only, the certificate vouches for the signatures.
    fn check_chain_part(&self, part: &ChainPart) -> Result<Option<(Statement, Certificate)>, Rejection> {
        bounded("entries up to a certificate", part.entries.len(), self.context.limits.chain_entries())?;
        bounded("blocks beyond their entries", part.blocks.len(), part.entries.len())?;
        let Some(certificate) = &part.certificate else {
            let empty = part.entries.is_empty() && part.blocks.is_empty();
            return if empty { Ok(None) } else { Err(Rejection::Invalid("entries without a certificate")) };
        };
        crate::ledger::check_chain(&part.entries, &certificate.entry)
            .map_err(|_| Rejection::Invalid("the entries do not link up to the certificate"))?;
        for (block, entry) in part.blocks.iter().zip(&part.entries) {
            self.check_block(block)?;
            if block.digest() != entry.block {
                return Err(Rejection::Invalid("a block is not the one of its entry"));
            }
        }
        checkpoint_obligation(&self.context, certificate)
    }
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), Rejection> {
    if found <= limit { Ok(()) } else { Err(Rejection::TooMuch { what, found, limit }) }
}

/// What remains to be verified of a checkpoint certificate; nothing for the genesis.
///
/// # Errors
/// If it cannot hold whatever its signatures say.
pub fn checkpoint_obligation(
    context: &CheckContext,
    checkpoint: &CheckpointCertificate,
) -> Result<Option<(Statement, Certificate)>, Rejection> {
    match &checkpoint.proof {
        None if checkpoint.entry == context.genesis_entry => Ok(None),
        None => Err(Rejection::Invalid("a checkpoint other than the genesis without a certificate")),
        Some(_) if checkpoint.height() == 0 || checkpoint.entry.epoch != context.domain.epoch => {
            Err(Rejection::Invalid("a checkpoint certificate of height 0 or of another epoch"))
        }
        Some(proof) => Ok(Some((context.domain.checkpoint(&checkpoint.entry), proof.clone()))),
    }
}
