//! Questions to one replica, which no other one can answer in its place.

use super::{Client, OTHER_QUESTION, no_answer};
use crate::error::{Attempts, ClientError};
use crate::stats::count;
use bft_core::evidence::Evidence;
use bft_core::receipt::ProvenReceipt;
use bft_core::request::{Answer, Call, StatusReport};
use crypto::{ClientKey, ReplicaId};
use tokio::time::Instant;

impl Client {
    /// What one replica says of itself. Not proven. It has [`crate::ClientConfig::answer_timeout`]; no other replica is asked.
    ///
    /// # Errors
    /// Why that replica did not answer.
    pub async fn status(&self, replica: ReplicaId) -> Result<StatusReport, ClientError> {
        let chain = self.0.chain;
        let judge = |answer| match answer {
            Answer::Status(report) if report.replica == replica && report.chain == chain => Ok(*report),
            Answer::Status(_) => Err("its answer is not about itself".to_owned()),
            _ => Err(OTHER_QUESTION.to_owned()),
        };
        self.ask_one(replica, Call::Status, judge).await
    }

    /// The lies that one replica says it can prove. Nothing here has been verified: `bft_core::evidence::verify` does. It has
    /// [`crate::ClientConfig::answer_timeout`]; no other replica is asked.
    ///
    /// # Errors
    /// Why that replica did not answer.
    pub async fn evidence(&self, replica: ReplicaId) -> Result<Vec<Evidence>, ClientError> {
        let judge = |answer| match answer {
            Answer::Evidence(evidence) => Ok(evidence),
            _ => Err(OTHER_QUESTION.to_owned()),
        };
        self.ask_one(replica, Call::Evidence, judge).await
    }

    /// The receipt that one replica keeps of a client's earlier transaction, with its proof verified. It has
    /// [`crate::ClientConfig::answer_timeout`]; no other replica is asked, so that who keeps what can be found out.
    ///
    /// The proof shows that the receipt is in the ledger. That it belongs to this client and sequence is only what the replica
    /// says: compare the transaction's digest.
    ///
    /// # Errors
    /// Why that replica did not answer, or that it has no receipt.
    pub async fn receipt_kept_by(
        &self,
        replica: ReplicaId,
        client: ClientKey,
        sequence: u64,
    ) -> Result<ProvenReceipt, ClientError> {
        let judge = |answer| match answer {
            Answer::Receipt(proven) => match self.0.verifier.receipt(&proven, false) {
                Ok(()) => Ok(*proven),
                Err(error) => Err(error.to_string()),
            },
            _ => Err(OTHER_QUESTION.to_owned()),
        };
        self.ask_one(replica, Call::Receipt { client, sequence }, judge).await
    }

    async fn ask_one<T>(
        &self,
        replica: ReplicaId,
        call: Call,
        judge: impl Fn(Answer) -> Result<T, String>,
    ) -> Result<T, ClientError> {
        let inner = &*self.0;
        if !inner.verifier.trust.committee.contains(replica) {
            return Err(ClientError::NoSuchReplica(replica));
        }
        let started = Instant::now();
        let answer = inner.exchange.ask_one(replica, call).await.map_err(no_answer)?;
        if let Answer::Refused { sentence, .. } = answer {
            return Err(ClientError::Refused { sentence, replica });
        }
        judge(answer).map_err(|lie| {
            count(&inner.counters.lies);
            let last = Attempts([(replica, lie)].into());
            ClientError::NoAnswer { waited: started.elapsed(), last }
        })
    }
}
