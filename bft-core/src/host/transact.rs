//! One transaction: its session first, then whoever it is for.

use super::execution::Ledger;
use super::session::Verdict;
use crate::codec;
use crate::machine::{Context, Refusal, StateMachine};
use crate::mutants::Mutant;
use crate::receipt::{Receipt, code};
use crate::state::View;
use crate::transaction::{Item, Kind, SystemAction};
use crate::types::{Height, Timestamp};
use bytes::Bytes;
use crypto::ClientKey;

impl<A: StateMachine> Ledger<A> {
    pub(super) fn execute_item(&mut self, item: &Item, height: Height, time: Timestamp) -> Receipt {
        let client = &item.transaction.client;
        let (sequence, window) = (item.transaction.sequence, self.genesis.limits.session_window);
        let answer = match self.directory.mark(client, sequence, window) {
            None => refuse(
                code::NOT_ENROLLED,
                "this client's key is not enrolled; an organisation's operator can enrol it",
            ),
            Some((Verdict::Stale, _)) => refuse(code::STALE, "this sequence has executed or was passed over"),
            Some((Verdict::TooFarAhead, _)) => {
                refuse(code::TOO_FAR_AHEAD, "this sequence is too far ahead of the client's last")
            }
            Some((Verdict::Fresh, organisation)) => {
                let organisation = self.directory.name(organisation).to_owned();
                let context = Context { height, time, client: *client, organisation };
                self.dispatch(item, &context)
            }
        };
        let (code, answer) = match answer {
            Ok(answer) => (code::OK, answer),
            Err(refusal) => (refusal.code, Bytes::from(refusal.sentence)),
        };
        Receipt { transaction: item.digest, code, answer }
    }

    fn dispatch(&mut self, item: &Item, context: &Context) -> Result<Bytes, Refusal> {
        match item.transaction.kind {
            Kind::System => self.system(&item.transaction.body, &context.client),
            Kind::Application => {
                self.state.savepoint();
                let result = self.app.execute(context, &item.transaction.body, &mut self.state);
                if result.is_err() && !Mutant::RefusedWritesStay.is_on() {
                    self.state.roll_back();
                }
                result
            }
        }
    }

    fn system(&mut self, body: &[u8], signer: &ClientKey) -> Result<Bytes, Refusal> {
        let action: SystemAction = codec::decode(body, 1 << 16)
            .map_err(|error| host_refusal(code::MALFORMED, format!("system transaction: {error}")))?;
        match action {
            SystemAction::Enroll { client } => {
                let Some(organisation) = self.directory.operated_by(signer) else {
                    return refuse(code::NOT_OPERATOR, "only an organisation's operator enrols clients");
                };
                if self.directory.organisation(&client).is_some() {
                    return refuse(code::ALREADY_ENROLLED, "the client is enrolled already");
                }
                self.directory.enroll(client, organisation, &mut self.state);
                Ok(Bytes::new())
            }
            SystemAction::Read { request } => {
                let answer = self.app.query(&mut View::live(&self.state), &request)?;
                let most = self.genesis.limits.transaction_bytes as usize;
                if answer.len() > most {
                    return Err(host_refusal(
                        code::TOO_LONG,
                        format!(
                            "the answer has {} bytes; one in a receipt has {most} at most: ask for a certified answer",
                            answer.len()
                        ),
                    ));
                }
                Ok(answer)
            }
        }
    }
}

fn host_refusal(code: u32, sentence: impl Into<String>) -> Refusal {
    Refusal { code, sentence: sentence.into() }
}

fn refuse<T>(code: u32, sentence: &str) -> Result<T, Refusal> {
    Err(host_refusal(code, sentence))
}
