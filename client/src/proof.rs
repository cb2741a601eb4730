//! Checking receipts, with each certificate verified once.

use crate::stats::{Counters, count};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::ledger::{CheckpointCertificate, check_chain};
use bft_core::receipt::{ProofError, ProvenReceipt};
use bft_core::types::Height;
use crypto::{Digest, Domain, FaultModel, merkle};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates remembered. Receipts that arrive together share one, so a few would do.
const KNOWN: usize = 1024;

/// What a client believes, and what it has found good so far.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub trust: Trust,
    counters: Arc<Counters>,
    /// Height and digest of certificates that verified, signatures included. Invariant: at most [`KNOWN`].
    known: Mutex<BTreeSet<(Height, Digest)>>,
}

impl Verifier {
    pub fn new(trust: Trust, counters: Arc<Counters>) -> Verifier {
        Verifier { trust, counters, known: Mutex::default() }
    }

    /// The checks of [`ProvenReceipt::verify`], step for step, without verifying a certificate twice.
    ///
    /// In the crash fault model nothing is proven, and the word of a replica of the committee is taken.
    pub fn receipt(&self, proven: &ProvenReceipt) -> Result<(), ProofError> {
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
        let entry = &proven.entries[0];
        let leaf = proven.receipt.leaf();
        let holds = merkle::verify(entry.receipts_root, leaf, proven.index, proven.count, &proven.path);
        if holds { Ok(()) } else { Err(ProofError::Receipt(entry.height)) }
    }

    fn certificate(&self, certificate: &CheckpointCertificate) -> Result<(), ProofError> {
        // The name covers the entry and the signatures: a good certificate vouches for itself only. The domain separates
        // nothing here, as these digests never leave this set.
        let name = (certificate.height(), Digest::of(Domain::LedgerEntry, &codec::encode(certificate)));
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&name) {
            return Ok(());
        }
        count(&self.counters.certificates);
        self.trust.verify_checkpoint(certificate)?;
        let mut known = known();
        known.insert(name);
        if known.len() > KNOWN {
            known.pop_first();
        }
        Ok(())
    }
}
