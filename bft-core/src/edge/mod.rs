//! The edge: turns bytes of peers and clients into [`Verified`] values.
//!
//! Stateless but for two caches, so that many threads may share one. Whatever can be checked together is: one batch of
//! client signatures and one batch of certificates for all frames handed in at once.

mod known;
mod read;

pub use read::{ReadFrame, checkpoint_obligation};

use crate::committee::Trust;
use crate::engine::{CheckContext, Message};
use crate::envelope::{Envelope, Promised, Rejection};
use crate::evidence::{self, Evidence, EvidenceError};
use crate::genesis::Limits;
use crate::host::{CombineJob, no_clock};
use crate::request::Request;
use crate::transaction::Item;
use crate::types::Height;
use crate::verified::Verified;
use bytes::Bytes;
use crypto::{
    Aggregate, Certificate, Digest, FaultModel, ReplicaId, Signature, Statement, TransactionVerifier,
};
use known::{Known, aggregate_name, certificate_name};
use read::Work;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Most blocks asked for in one frame.
pub const MAX_FETCH: usize = 64;

/// Checks what comes in.
#[derive(Debug)]
pub struct Edge {
    context: CheckContext,
    trust: Trust,
    transactions: TransactionVerifier,
    known: Mutex<Known>,
    stable: AtomicU64,
    counts: EdgeCounts,
    spent: fn() -> Duration,
}

/// What the edge verified, for accounting.
#[derive(Debug, Default)]
pub struct EdgeCounts {
    /// Client signatures verified.
    pub client_signatures: AtomicU64,
    /// Replicas' own signatures verified.
    pub signatures: AtomicU64,
    /// Quorum certificates verified.
    pub certificates: AtomicU64,
    /// Aggregates of a quorum's words verified.
    pub aggregates: AtomicU64,
    /// Processor time that certificates, aggregates and replicas' own signatures took, in nanoseconds, by the edge's clock.
    pub certificate_nanos: AtomicU64,
    /// Frames refused.
    pub rejected: AtomicU64,
}

impl Edge {
    /// The edge of a replica that trusts `trust`.
    pub fn new(trust: Trust, limits: Limits, transactions: TransactionVerifier) -> Edge {
        let context = CheckContext {
            domain: trust.domain,
            committee: trust.committee,
            limits,
            genesis_entry: trust.genesis_entry,
        };
        Edge {
            context,
            trust,
            transactions,
            known: Mutex::default(),
            stable: AtomicU64::new(0),
            counts: EdgeCounts::default(),
            spent: no_clock,
        }
    }

    /// With the processor time that the calling thread has spent so far, to account for ([`EdgeCounts::certificate_nanos`]).
    pub fn with_clock(self, spent: fn() -> Duration) -> Edge {
        Edge { spent, ..self }
    }

    /// What it verified so far.
    pub fn counts(&self) -> &EdgeCounts {
        &self.counts
    }

    /// Messages about heights up to this one are of no more use.
    pub fn set_stable(&self, height: Height) {
        self.stable.fetch_max(height, Relaxed);
    }

    /// Whether nothing that a replica says has to be verified beyond its form.
    pub fn believes_replicas(&self) -> bool {
        self.context.committee.fault_model == FaultModel::Crash
    }

    /// Whether clients do not sign.
    pub fn believes_clients(&self) -> bool {
        self.context.limits.unsigned
    }

    /// Checks frames of replicas, in order.
    pub fn replica_frames<M: Message>(
        &self,
        frames: &[(ReplicaId, Bytes)],
    ) -> Vec<Result<Verified<Envelope<M>>, Rejection>> {
        self.verify_frames(self.read_frames(frames), &[]).0
    }

    /// Reads frames of replicas, in order, for [`Edge::verify_frames`].
    pub fn read_frames<M: Message>(
        &self,
        frames: &[(ReplicaId, Bytes)],
    ) -> Vec<Result<ReadFrame<M>, Rejection>> {
        frames.iter().map(|(from, bytes)| self.read_envelope(*from, bytes)).collect()
    }

    /// Whether a certificate in the frame was not verified before.
    pub fn has_new_certificate<M>(&self, frame: &ReadFrame<M>) -> bool {
        let known = self.known.lock().expect("no thread panics while it holds the cache");
        let mut certificates = frame.work.certificates.iter();
        certificates
            .any(|(statement, certificate)| !known.contains(&certificate_name(statement, certificate)))
    }

    /// Checks frames that were read, and combines shares: what certificates there are is verified together. Gives the verdicts, and the
    /// certificates or whose shares are bad, in order.
    #[allow(clippy::type_complexity)]
    pub fn verify_frames<M>(
        &self,
        frames: Vec<Result<ReadFrame<M>, Rejection>>,
        jobs: &[CombineJob],
    ) -> (Vec<Result<Verified<Envelope<M>>, Rejection>>, Vec<Result<Certificate, Vec<ReplicaId>>>) {
        let quorum = &self.trust.quorum;
        let made: Vec<Option<(Statement, Certificate)>> = self.accounted(|| {
            jobs.iter().map(|job| Some((job.statement, quorum.interpolate(&job.shares)?))).collect()
        });
        let read = frames.into_iter().map(|frame| frame.map(|ReadFrame { envelope, work }| (envelope, work)));
        let (verdicts, bad) = self.discharge(read.collect(), made.iter().flatten());
        let certificates = jobs.iter().zip(made).map(|(job, made)| match made {
            Some(pair) if !bad.contains(&pair) => Ok(pair.1),
            _ => self.accounted(|| job.result(quorum)),
        });
        (verdicts, certificates.collect())
    }

    /// Checks frames of clients, in order.
    pub fn client_frames(&self, frames: &[Bytes]) -> Vec<Result<Verified<Request>, Rejection>> {
        let read = frames.iter().map(|bytes| self.read_request(bytes)).collect();
        self.discharge(read, [].iter()).0
    }

    /// Checks what an engine or the host suspects.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn evidence<M: Message>(&self, evidence: Evidence) -> Result<Verified<Evidence>, EvidenceError> {
        self.check_evidence::<M>(&evidence)?;
        Ok(Verified::new(evidence))
    }

    /// Whether a promise is one of `replica`.
    pub fn recognizes(&self, replica: ReplicaId, promised: &Promised) -> bool {
        self.counts.signatures.fetch_add(1, Relaxed);
        evidence::is_sealed_by(replica, &promised.statement, &promised.seal, &self.trust)
    }

    /// The same evidence comes from every peer once: what was verified is not verified again.
    fn check_evidence<M: Message>(&self, evidence: &Evidence) -> Result<(), EvidenceError> {
        let name = evidence.digest();
        let known = || self.known.lock().expect("no thread panics while it holds the cache");
        if known().contains(&name) {
            return Ok(());
        }
        self.counts.signatures.fetch_add(2, Relaxed);
        evidence::verify::<M>(evidence, &self.trust)?;
        known().insert(name);
        Ok(())
    }

    /// Verifies what was read, all frames together, and certificates `made` here with them. Gives the verdicts, and which certificates are bad.
    #[allow(clippy::type_complexity)]
    fn discharge<'a, T>(
        &self,
        read: Vec<Result<(T, Work), Rejection>>,
        made: impl Iterator<Item = &'a (Statement, Certificate)>,
    ) -> (Vec<Result<Verified<T>, Rejection>>, Vec<(Statement, Certificate)>) {
        let (items, certificates) = self.unknown(&read);
        let bad_items = self.bad_items(&items);
        let bad_certificates = self.bad_certificates(certificates, made);
        let verdicts = read
            .into_iter()
            .map(|frame| {
                let (value, work) = frame?;
                if let Some(item) = work.items.iter().find(|item| bad_items.contains(&item.digest)) {
                    return Err(Rejection::ClientSignature(item.digest));
                }
                for certificate in &work.certificates {
                    if let Some((_, why)) = bad_certificates.iter().find(|(bad, _)| bad == certificate) {
                        return Err(Rejection::Certificate(why.clone()));
                    }
                }
                for (words, aggregate) in &work.aggregates {
                    self.check_aggregate(words, aggregate)?;
                }
                for (signer, statement, signature) in &work.signatures {
                    self.check_signature(*signer, statement, signature)?;
                }
                Ok(Verified::new(value))
            })
            .inspect(|result: &Result<Verified<T>, Rejection>| {
                if result.is_err() {
                    self.counts.rejected.fetch_add(1, Relaxed);
                }
            })
            .collect();
        (verdicts, bad_certificates.into_iter().map(|(pair, _)| pair).collect())
    }

    /// What of all frames is not known to be good.
    #[allow(clippy::type_complexity)]
    fn unknown<T>(
        &self,
        read: &[Result<(T, Work), Rejection>],
    ) -> (Vec<Item>, Vec<(Digest, (Statement, Certificate))>) {
        let known = self.known.lock().expect("no thread panics while it holds the cache");
        let works = read.iter().flatten().map(|(_, work)| work);
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        let mut certificates = Vec::new();
        for work in works {
            for item in &work.items {
                if !known.contains(&item.digest) && seen.insert(item.digest) {
                    items.push(item.clone());
                }
            }
            for (statement, certificate) in &work.certificates {
                let name = certificate_name(statement, certificate);
                if !known.contains(&name) && seen.insert(name) {
                    certificates.push((name, (*statement, certificate.clone())));
                }
            }
        }
        (items, certificates)
    }

    fn bad_items(&self, items: &[Item]) -> BTreeSet<Digest> {
        if items.is_empty() {
            return BTreeSet::new();
        }
        let signed: Vec<_> = items.iter().map(Item::signed).collect();
        let verdicts = self.transactions.verify_batch(&signed);
        self.counts.client_signatures.fetch_add(items.len() as u64, Relaxed);
        let mut known = self.known.lock().expect("no thread panics while it holds the cache");
        let mut bad = BTreeSet::new();
        for (item, good) in items.iter().zip(verdicts) {
            if good { known.insert(item.digest) } else { bad.extend([item.digest]) }
        }
        bad
    }

    /// Which of certificates that came in, with their names, and of those `made` here are bad.
    fn bad_certificates<'a>(
        &self,
        certificates: Vec<(Digest, (Statement, Certificate))>,
        made: impl Iterator<Item = &'a (Statement, Certificate)>,
    ) -> Vec<((Statement, Certificate), String)> {
        let (names, mut pairs): (Vec<_>, Vec<_>) = certificates.into_iter().unzip();
        self.counts.certificates.fetch_add(pairs.len() as u64, Relaxed);
        pairs.extend(made.cloned());
        if pairs.is_empty() {
            return Vec::new();
        }
        let verdicts = self.accounted(|| self.trust.quorum.verify_batch(&pairs));
        let mut known = self.known.lock().expect("no thread panics while it holds the cache");
        let mut names = names.into_iter();
        let mut bad = Vec::new();
        for (pair, verdict) in pairs.into_iter().zip(verdicts) {
            match (names.next(), verdict) {
                (Some(name), Ok(())) => known.insert(name),
                (None, Ok(())) => {}
                (_, Err(why)) => bad.push((pair, why.to_string())),
            }
        }
        bad
    }

    /// Checks something that replicas signed.
    fn accounted<T>(&self, check: impl FnOnce() -> T) -> T {
        let begun = (self.spent)();
        let verdict = check();
        let took = (self.spent)().saturating_sub(begun);
        self.counts.certificate_nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        verdict
    }

    fn check_aggregate(
        &self,
        words: &[(ReplicaId, Statement)],
        aggregate: &Aggregate,
    ) -> Result<(), Rejection> {
        let name = aggregate_name(words, aggregate);
        let known = || self.known.lock().expect("no thread panics while it holds the cache");
        if known().contains(&name) {
            return Ok(());
        }
        self.counts.aggregates.fetch_add(1, Relaxed);
        let verdict = self.accounted(|| self.trust.quorum.verify_aggregate(words, aggregate));
        verdict.map_err(|why| Rejection::Certificate(why.to_string()))?;
        known().insert(name);
        Ok(())
    }

    fn check_signature(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        signature: &Signature,
    ) -> Result<(), Rejection> {
        let identity =
            self.trust.identities.get(usize::from(signer.0)).ok_or(Rejection::Signature(signer))?;
        self.counts.signatures.fetch_add(1, Relaxed);
        let verdict = self.accounted(|| self.trust.quorum.verify_signature(identity, statement, signature));
        verdict.map_err(|_| Rejection::Signature(signer))
    }
}
