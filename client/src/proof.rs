//! Checking receipts, with each certificate verified once.

use crate::stats::{Counters, count};
use bft_core::committee::Trust;
use bft_core::ledger::{CheckpointCertificate, check_chain};
use bft_core::receipt::{ProofError, ProvenReceipt};
use bft_core::types::Height;
use crypto::FaultModel;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Heights of which certificates are remembered. Receipts that arrive together share one, so a few would do.
const KNOWN: usize = 1024;

/// Certificates remembered of one height: as lists of signatures they differ from replica to replica.
const KNOWN_OF_HEIGHT: usize = 8;

/// What a client believes, and what it has found good so far.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub trust: Trust,
    counters: Arc<Counters>,
    /// Certificates that verified. Invariant: at most [`KNOWN`] heights with [`KNOWN_OF_HEIGHT`] each.
    known: Mutex<BTreeMap<Height, Vec<CheckpointCertificate>>>,
}

impl Verifier {
    pub fn new(trust: Trust, counters: Arc<Counters>) -> Verifier {
        Verifier { trust, counters, known: Mutex::default() }
    }

    /// The checks of [`ProvenReceipt::verify`], step for step, without verifying a certificate twice; nor the place of a receipt which is known
    /// to be `placed`, as it came in a batch.
    ///
    /// In the crash fault model nothing is proven, and the word of a replica of the committee is taken.
    pub fn receipt(&self, proven: &ProvenReceipt, placed: bool) -> Result<(), ProofError> {
        if self.trust.domain.fault_model == FaultModel::Crash {
            let known = proven.trusted_to().is_some_and(|replica| self.trust.committee.contains(replica));
            let why = || "it is of nobody in this committee".to_owned();
            return if known { Ok(()) } else { Err(ProofError::Certificate(proven.height(), why())) };
        }
        if let Some(replica) = proven.trusted_to() {
            return Err(ProofError::Trusted(replica));
        }
        check_chain(&proven.entries, &proven.certificate.entry)?;
        self.certificate(&proven.certificate)?;
        if placed || proven.is_placed() { Ok(()) } else { Err(ProofError::Receipt(proven.height())) }
    }

    fn certificate(&self, certificate: &CheckpointCertificate) -> Result<(), ProofError> {
        let height = certificate.height();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Entry and signatures: a good certificate vouches for itself only.
        if known().get(&height).is_some_and(|known| known.contains(certificate)) {
            return Ok(());
        }
        count(&self.counters.certificates);
        self.trust.verify_checkpoint(certificate)?;
        let mut known = known();
        let of_height = known.entry(height).or_default();
        if of_height.len() == KNOWN_OF_HEIGHT {
            of_height.remove(0);
        }
        of_height.push(certificate.clone());
        if known.len() > KNOWN {
            known.pop_first();
        }
        Ok(())
    }
}
