//! Reads that are not ordered.

use super::{Client, no_answer, other_question};
use crate::error::ClientError;
use crate::exchange::Verdict;
use crate::switchboard::Said;
use bft_core::machine::StateMachine;
use bft_core::request::{Advice, Answer, AnswerBytes, Call, ProvenAnswer, Reading, ReadingOf};
use bft_core::types::Height;
use bytes::Bytes;
use crypto::{FaultModel, ReplicaId};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// What a read promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Everything that anybody was told before the read began is in the answer.
    ///
    /// Byzantine fault model: proven, whatever f replicas do. Crash fault model: by the word of a replica whose leader has made sure
    /// that it leads; with leases, for as long as the clocks drift no more than the genesis says.
    Linearizable,
    /// What a quorum has certified last, as far as the replica asked knows; at least what this client has seen proven. Proven in the
    /// Byzantine fault model, the word of a replica in the crash fault model.
    Certified,
    /// What one replica has executed, by its word: it may be cut off from the others, and in the Byzantine fault model it may lie.
    Local,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Read::Linearizable => "linearizable",
            Read::Certified => "certified",
            Read::Local => "local",
        })
    }
}

/// A word that names no kind of read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no read {0:?}; use linearizable, certified or local")]
pub struct ReadError(pub String);

impl FromStr for Read {
    type Err = ReadError;

    fn from_str(word: &str) -> Result<Read, ReadError> {
        [Read::Linearizable, Read::Certified, Read::Local]
            .into_iter()
            .find(|read| read.to_string() == word)
            .ok_or_else(|| ReadError(word.to_owned()))
    }
}

/// An answer of the application, or its refusal, and the height of the state that it is from.
pub type Told = (Result<Bytes, (u32, String)>, Height);

/// How long a certificate over what n − f replicas have signed may take before the read is ordered.
const PATIENCE: Duration = Duration::from_secs(1);

impl Client {
    /// Asks the application. What the answer is worth is what `read` says.
    ///
    /// # Errors
    /// If no replica gives an answer that holds.
    pub async fn read<A: StateMachine>(
        &self,
        app: &A,
        request: &[u8],
        read: Read,
    ) -> Result<Told, ClientError> {
        let crash = self.trust().domain.fault_model == FaultModel::Crash;
        match read {
            Read::Linearizable if crash => self.ask_word(ReadingOf::Leader, request).await,
            Read::Linearizable => self.read_signed(app, request).await,
            Read::Certified => self.query(app, request).await,
            Read::Local => self.ask_word(ReadingOf::Executed, request).await,
        }
    }

    /// Asks the application, and checks that the answer follows from certified state: [`Read::Certified`].
    ///
    /// A state older than one that this client has seen proven is not accepted, so that its own receipts are visible to it.
    ///
    /// # Errors
    /// If no replica gives an answer that holds.
    pub async fn query<A: StateMachine>(&self, app: &A, request: &[u8]) -> Result<Told, ClientError> {
        self.ask_proven(app, request, 0).await
    }

    /// What n − f replicas have signed, everybody was told who was told before: a receipt has a quorum's certificate, and any n − f replicas
    /// share an honest one with any quorum. Of more answers than n − f the lowest do, so that no liar can ask for what there is not.
    async fn read_signed<A: StateMachine>(&self, app: &A, request: &[u8]) -> Result<Told, ClientError> {
        let asked = timeout(PATIENCE, async {
            let height = self.signed_by_enough().await?;
            self.ask_proven(app, request, height).await.ok()
        });
        if let Ok(Some(told)) = asked.await {
            return Ok(told);
        }
        Box::pin(self.order_read(request)).await.map_err(|error| ClientError::NotOrdered(Box::new(error)))
    }

    /// The lowest height that n − f replicas say is at or above all that they have signed. None if fewer answer.
    async fn signed_by_enough(&self) -> Option<Height> {
        let committee = self.trust().committee;
        let needed = committee.replicas - committee.faulty();
        let mut asking = JoinSet::new();
        for replica in committee.members() {
            let exchange = self.0.exchange.clone();
            asking.spawn(async move { exchange.ask_one(replica, Call::Signed).await });
        }
        let begun = Instant::now();
        let mut heights = Vec::new();
        while heights.len() < needed {
            if let Ok(Ok(Answer::Signed(height))) = asking.join_next().await? {
                heights.push(height);
            }
        }
        // The others have as long again: with their answers, liars cannot raise it.
        let _ = timeout(begun.elapsed(), async {
            while let Some(answer) = asking.join_next().await {
                if let Ok(Ok(Answer::Signed(height))) = answer {
                    heights.push(height);
                }
            }
        })
        .await;
        heights.sort_unstable();
        heights.get(needed - 1).copied()
    }

    /// An answer with its proof, of a state of this height or a higher one.
    async fn ask_proven<A: StateMachine>(
        &self,
        app: &A,
        request: &[u8],
        height: Height,
    ) -> Result<Told, ClientError> {
        let inner = &*self.0;
        let call = Call::Read(ReadingOf::Certified(height), Bytes::copy_from_slice(request));
        let at_least = height.max(inner.seen.load(SeqCst));
        let trust = &inner.verifier.trust;
        let mut abandoned = BTreeSet::new();
        let judge = |from: ReplicaId, said: Said| match said.answer {
            Answer::Query(answer) => match answer.verify(app, request, trust) {
                Err(error) => Verdict::Lie(error.to_string()),
                Ok(()) if answer.certificate.height() < at_least => Verdict::Later(format!(
                    "its state is of height {}, behind {at_least}",
                    answer.certificate.height()
                )),
                Ok(()) => Verdict::Done(Ok(answer)),
            },
            Answer::Refused { advice, sentence } => self.refused(from, advice, sentence, &mut abandoned),
            _ => other_question(),
        };
        let ProvenAnswer { result, certificate, .. } =
            *inner.exchange.ask(call, judge).await.map_err(no_answer)??;
        inner.seen.fetch_max(certificate.height(), SeqCst);
        Ok((result.map(|bytes| bytes.0), certificate.height()))
    }

    /// An answer by the word of one replica.
    async fn ask_word(&self, of: ReadingOf, request: &[u8]) -> Result<Told, ClientError> {
        let mut abandoned = BTreeSet::new();
        let judge = |from: ReplicaId, said: Said| match said.answer {
            Answer::Reading(reading) => Verdict::Done(Ok(reading)),
            Answer::Refused { advice, sentence } => self.refused(from, advice, sentence, &mut abandoned),
            _ => other_question(),
        };
        let call = Call::Read(of, Bytes::copy_from_slice(request));
        let Reading { height, result } = *self.0.exchange.ask(call, judge).await.map_err(no_answer)??;
        Ok((result.map(|AnswerBytes(bytes)| bytes), height))
    }

    /// What follows from a refusal: f + 1 replicas that will never answer are believed.
    fn refused<T>(
        &self,
        from: ReplicaId,
        advice: Advice,
        sentence: String,
        abandoned: &mut BTreeSet<ReplicaId>,
    ) -> Verdict<Result<T, ClientError>> {
        match advice {
            Advice::Retry => Verdict::Later(sentence),
            Advice::AskAnother => Verdict::Elsewhere(sentence),
            Advice::Abandon => {
                abandoned.insert(from);
                if abandoned.len() >= self.trust().committee.believable() {
                    Verdict::Done(Err(ClientError::Refused { sentence, replica: from }))
                } else {
                    Verdict::Elsewhere(sentence)
                }
            }
        }
    }
}
