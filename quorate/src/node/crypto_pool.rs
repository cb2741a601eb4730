//! Signatures, away from the threads of the host and the transport: verification of what comes in, seals and combinations of what goes out.
//!
//! Frames of one sender are checked in the order they came: each sender has a lane, and one job at a time works on a lane. The job
//! takes what has gathered, so that signatures are verified in batches exactly when there is much to do. All clients share one
//! lane, for the same reason.

use super::Message;
use super::driver::thread_time;
use bft_core::codec;
use bft_core::edge::{Edge, ReadFrame};
use bft_core::envelope::{Promised, Rejection, Seal, SealWith};
use bft_core::evidence::Evidence;
use bft_core::host::{AggregateJob, COMPANY_WAIT, CertificateQueue, CombineJob, Event, Next, SealJob};
use bft_core::request::Request;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::{IdentitySecret, QuorumSigner, QuorumVerifier, Work};
use engines::{AnyEngine, AnyMessage};
use net::{ConnectionId, Frame, Permit};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

/// Frames and bytes that one job takes, at most, so that others get their turn.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Where a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Replica(ReplicaId),
    Client(ConnectionId),
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<(Source, Bytes, Permit)>,
    busy: bool,
}

/// A replica's frame, read.
struct Received {
    from: ReplicaId,
    bytes: usize,
    permit: Permit,
    frame: Result<ReadFrame<AnyMessage>, Rejection>,
}

/// Certificates to be made and verified, and when those that wait have waited long enough.
struct Certificates {
    queue: CertificateQueue<Received>,
    due: Option<Instant>,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CryptoPool(Arc<Inner>);

struct Inner {
    threads: Handle,
    /// Reads from the log for others, which must not wait behind signatures: a replica that catches up would.
    reader: Handle,
    edge: Arc<Edge>,
    quorum: QuorumVerifier,
    signer: QuorumSigner,
    identity: IdentitySecret,
    inbox: UnboundedSender<Message>,
    lanes: Mutex<BTreeMap<Option<ReplicaId>, Lane>>,
    certificates: Mutex<Certificates>,
    counts: CryptoCounts,
}

/// Signing operations, for accounting.
#[derive(Debug, Default)]
pub(crate) struct CryptoCounts {
    pub sealed: AtomicU64,
    pub combined: AtomicU64,
    pub aggregated: AtomicU64,
    pub culprits: AtomicU64,
    /// Processor time of all that, in nanoseconds.
    pub nanos: AtomicU64,
    /// What was signed and verified, but for clients' signatures.
    pub work: Mutex<Work>,
}

impl CryptoCounts {
    fn blame<T>(&self, result: &Result<T, Vec<ReplicaId>>) {
        if let Err(culprits) = result {
            self.culprits.fetch_add(culprits.len() as u64, Relaxed);
        }
    }
}

impl std::fmt::Debug for CryptoPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CryptoPool").finish_non_exhaustive()
    }
}

impl CryptoPool {
    pub(crate) fn new(
        (threads, reader): (Handle, Handle),
        edge: Arc<Edge>,
        quorum: QuorumVerifier,
        signer: QuorumSigner,
        identity: IdentitySecret,
        inbox: UnboundedSender<Message>,
    ) -> CryptoPool {
        let (lanes, queue) = (Mutex::default(), CertificateQueue::new(&quorum));
        let certificates = Mutex::new(Certificates { queue, due: None });
        let counts = CryptoCounts::default();
        CryptoPool(Arc::new(Inner {
            threads,
            reader,
            edge,
            quorum,
            signer,
            identity,
            inbox,
            lanes,
            certificates,
            counts,
        }))
    }

    pub(crate) fn counts(&self) -> &CryptoCounts {
        &self.0.counts
    }

    /// Checks a frame and hands it to the host: at once where there are no signatures in it.
    pub(crate) fn check(&self, source: Source, frame: Frame) {
        let _alarm = Alarm(&self.0.inbox);
        let (bytes, permit) = frame.into_parts();
        let lane = match source {
            Source::Replica(_) if self.0.edge.believes_replicas() => {
                return self.0.check_replica(vec![(source, bytes, permit)]);
            }
            Source::Client(_) if self.0.edge.believes_clients() => {
                return self.0.check_clients(vec![(source, bytes, permit)]);
            }
            Source::Replica(replica) => Some(replica),
            Source::Client(_) => None,
        };
        let start = {
            let mut lanes = self.0.lanes.lock();
            let lane = lanes.entry(lane).or_default();
            lane.waiting.push_back((source, bytes, permit));
            !std::mem::replace(&mut lane.busy, true)
        };
        if start {
            self.work_on(lane);
        }
    }

    fn work_on(&self, lane: Option<ReplicaId>) {
        self.spawn(move |inner| {
            let batch = {
                let mut lanes = inner.lanes.lock();
                let lane = lanes.entry(lane).or_default();
                let mut bytes = 0;
                let fitting = lane.waiting.iter().take(BATCH_FRAMES).take_while(|(_, frame, _)| {
                    bytes += frame.len();
                    bytes <= BATCH_BYTES
                });
                let count = fitting.count().max(1).min(lane.waiting.len());
                lane.waiting.drain(..count).collect::<Vec<_>>()
            };
            match lane {
                Some(_) => inner.check_replica(batch),
                None => inner.check_clients(batch),
            }
            let more = {
                let mut lanes = inner.lanes.lock();
                let lane = lanes.entry(lane).or_default();
                lane.busy = !lane.waiting.is_empty();
                lane.busy
            };
            if more {
                CryptoPool(Arc::clone(inner)).work_on(lane);
            }
        });
    }

    fn spawn(&self, job: impl FnOnce(&Arc<Inner>) + Send + 'static) {
        let (inner, ready) = (Arc::clone(&self.0), Instant::now());
        self.0.threads.spawn_blocking(move || {
            let _alarm = Alarm(&inner.inbox);
            inner.certificates.lock().queue.began(ready.elapsed());
            let before = Work::of_this_thread();
            job(&inner);
            *inner.counts.work.lock() += Work::of_this_thread() - before;
        });
    }

    /// Work for certificates, on the pool's threads.
    fn account(&self, job: impl FnOnce(&Inner) + Send + 'static) {
        self.spawn(move |inner| {
            let begun = thread_time();
            job(inner);
            let took = thread_time().saturating_sub(begun);
            inner.counts.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        });
    }

    pub(crate) fn seal(&self, job: SealJob) {
        self.account(move |inner| {
            let seal = match job.with {
                SealWith::Nothing => Seal::None,
                SealWith::Share(statement) => Seal::Share(inner.signer.sign(&statement)),
                SealWith::Signature(statement) => Seal::Signature(inner.identity.sign(&statement.encode())),
            };
            inner.counts.sealed.fetch_add(1, Relaxed);
            inner.send(Event::Sealed { ticket: job.ticket, seal }, None);
        });
    }

    pub(crate) fn combine(&self, job: CombineJob) {
        let next = self.0.certificates.lock().queue.combine(job);
        self.follow(next);
    }

    fn follow(&self, next: Next) {
        match next {
            Next::Now => self.certify(),
            Next::Later => {
                self.0.certificates.lock().due = Some(Instant::now() + COMPANY_WAIT);
                // Whoever looks after the time has to know of it.
                let _ = self.0.inbox.send(Message::Waiting);
            }
            Next::Nothing => {}
        }
    }

    /// Takes up certificates that have waited long enough. Gives how long it is until others have, if some wait.
    pub(crate) fn pursue(&self) -> Option<Duration> {
        let wait = {
            let due = &mut self.0.certificates.lock().due;
            let wait = due.as_ref()?.saturating_duration_since(Instant::now());
            due.take_if(|_| wait.is_zero());
            wait
        };
        if wait.is_zero() {
            self.certify();
            return None;
        }
        Some(wait)
    }

    /// Makes and verifies the certificates that wait.
    fn certify(&self) {
        self.spawn(|inner| {
            let (jobs, frames) = inner.certificates.lock().queue.take();
            inner.verify(frames, jobs);
        });
    }

    pub(crate) fn aggregate(&self, job: AggregateJob) {
        self.account(move |inner| {
            let result = job.result(&inner.quorum);
            inner.counts.aggregated.fetch_add(1, Relaxed);
            inner.counts.blame(&result);
            inner.send(Event::Aggregated { view: job.view, result }, None);
        });
    }

    /// Verifies what may be evidence.
    pub(crate) fn examine(&self, suspicion: Evidence) {
        self.spawn(move |inner| {
            let accused = suspicion.accused;
            match inner.edge.evidence::<AnyMessage>(suspicion) {
                Ok(evidence) => inner.send(Event::Proven { evidence: Box::new(evidence) }, None),
                Err(why) => tracing::warn!(%accused, %why, "a replica contradicts itself in a way that proves nothing"),
            }
        });
    }

    /// Verifies whether a promise is this replica's own.
    pub(crate) fn recognize(&self, me: ReplicaId, shown_by: ReplicaId, promised: Box<Promised>) {
        self.spawn(move |inner| {
            let own = inner.edge.recognizes(me, &promised);
            inner.send(Event::Recognized { shown_by, promised, own }, None);
        });
    }

    /// Reads from the log, one after the other.
    pub(crate) fn read(&self, job: impl FnOnce() -> Result<Event<AnyEngine>, String> + Send + 'static) {
        let inner = Arc::clone(&self.0);
        self.0.reader.spawn_blocking(move || {
            let _alarm = Alarm(&inner.inbox);
            match job() {
                Ok(event) => inner.send(event, None),
                Err(reason) => drop(inner.inbox.send(Message::Failed(reason))),
            }
        });
    }
}

/// Stops the replica if what holds it panics: the host would wait for its answer for ever, or the sender send it again.
struct Alarm<'a>(&'a UnboundedSender<Message>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "a check of a frame, a signature or a read panicked: an invariant is broken; the output above names it";
            let _ = self.0.send(Message::Failed(reason.into()));
        }
    }
}

impl Inner {
    fn send(&self, event: Event<AnyEngine>, permit: Option<Permit>) {
        // Nobody listens any more once the replica has stopped.
        let _ = self.inbox.send(Message::Event(Box::new(event), permit));
    }

    fn check_replica(self: &Arc<Inner>, batch: Vec<(Source, Bytes, Permit)>) {
        let (frames, permits): (Vec<(ReplicaId, Bytes)>, Vec<Permit>) = batch
            .into_iter()
            .filter_map(|(source, bytes, permit)| match source {
                Source::Replica(from) => Some(((from, bytes), permit)),
                Source::Client(_) => None,
            })
            .unzip();
        let read = self.edge.read_frames::<AnyMessage>(&frames);
        let received = read.into_iter().zip(frames).zip(permits);
        let received = received.map(|((frame, (from, bytes)), permit)| Received {
            from,
            bytes: bytes.len(),
            permit,
            frame,
        });
        let can_wait = |received: &Received| {
            received.frame.as_ref().is_ok_and(ReadFrame::is_certificate)
                && self.certificates.lock().queue.waits_with(received.from)
        };
        let (waiting, mut received): (Vec<Received>, Vec<Received>) = received.partition(can_wait);
        for certificate in waiting {
            let next = self.certificates.lock().queue.wait(certificate);
            CryptoPool(Arc::clone(self)).follow(next);
        }
        let mut frames = received.iter().filter_map(|received| received.frame.as_ref().ok());
        let (jobs, company) = if frames.any(|frame| self.edge.has_new_certificate(frame)) {
            self.certificates.lock().queue.company()
        } else {
            (Vec::new(), Vec::new())
        };
        received.extend(company);
        self.verify(received, jobs);
    }

    /// Verifies frames that were read, and makes certificates.
    fn verify(&self, received: Vec<Received>, jobs: Vec<CombineJob>) {
        let (sources, frames): (Vec<_>, Vec<_>) = received
            .into_iter()
            .map(|Received { from, bytes, permit, frame }| ((from, bytes, permit), frame))
            .unzip();
        let (verdicts, certificates) = self.edge.verify_frames(frames, &jobs);
        for ((from, bytes, permit), verdict) in sources.into_iter().zip(verdicts) {
            match verdict {
                Ok(envelope) => self.send(Event::Frame { from, bytes, envelope }, Some(permit)),
                Err(Rejection::Stale { .. } | Rejection::Far { .. }) => {}
                Err(rejection) => {
                    if matches!(rejection, Rejection::Certificate(_)) {
                        self.certificates.lock().queue.lied(from);
                    }
                    tracing::warn!(%from, %rejection, "frame refused");
                }
            }
        }
        self.counts.combined.fetch_add(jobs.len() as u64, Relaxed);
        for (job, result) in jobs.into_iter().zip(certificates) {
            self.counts.blame(&result);
            self.send(Event::Combined { statement: job.statement, result }, None);
        }
    }

    fn check_clients(&self, batch: Vec<(Source, Bytes, Permit)>) {
        let frames: Vec<Bytes> = batch.iter().map(|(_, bytes, _)| bytes.clone()).collect();
        let verdicts = self.edge.client_frames(&frames);
        for ((source, bytes, permit), verdict) in batch.into_iter().zip(verdicts) {
            let Source::Client(client) = source else { continue };
            match verdict {
                Ok(request) => self.send(Event::Request { client: client.0, request }, Some(permit)),
                Err(rejection) => {
                    // What does not even decode has no id: its answer carries 0.
                    let id = codec::decode::<Request>(&bytes, bytes.len()).map_or(0, |request| request.id);
                    let _ =
                        self.inbox.send(Message::Refused { client, id, rejection: rejection.to_string() });
                }
            }
        }
    }
}
