//! What clients ask of replicas and are told, in the world.

use crate::app;
use crate::checker::Violation;
use crate::client::{Outgoing, Submission};
use crate::world::{Action, World};
use bft_core::host::Event;
use bft_core::request::Reply;
use bft_core::types::ReplicaId;
use bytes::Bytes;

impl World {
    pub(crate) fn request(&mut self, client: usize, to: ReplicaId, frame: Bytes) -> Result<(), Violation> {
        let node = &self.replicas[to.index()];
        if node.host.is_none() {
            return Ok(());
        }
        self.note("request", client as u64, &frame);
        match self.replicas[to.index()].edge.client_frames(&[frame]).pop().expect("one verdict a frame") {
            Ok(request) => self.step(to, Some(Event::Request { client: client as u64, request })),
            Err(rejection) => Err(Violation {
                rule: "an honest client's request passes the edge",
                what: rejection.to_string(),
            }),
        }
    }

    pub(crate) fn reply(&mut self, client: usize, frame: &[u8]) -> Result<(), Violation> {
        self.note("reply", client as u64, frame);
        for reply in Reply::read(frame, usize::MAX).unwrap_or_default() {
            self.single_reply(client, reply)?;
        }
        Ok(())
    }

    fn single_reply(&mut self, client: usize, reply: Reply) -> Result<(), Violation> {
        let now = self.now;
        if let Some(reader) = self.readers.get_mut(client) {
            let (outcome, outgoing) = reader.reply(&reply);
            if let Some((id, answer)) = outcome {
                self.history.returned(now, self.clients[client].secret.public(), id, app::content(&answer));
            }
            self.send_requests(client, outgoing);
        }
        if let Some((sequence, receipt)) = self.clients[client].reply(now, reply) {
            let key = self.clients[client].secret.public();
            let trust = self.replicas[0].config.trust.clone();
            self.checker.acknowledged(key, sequence, &receipt, &trust)?;
            if receipt.receipt.answer == app::REFUSED_WRITE_STAYED.as_bytes() {
                let what = format!("{sequence} of {key} found what another one left");
                return Err(Violation { rule: "a refused transaction leaves no writes", what });
            }
            self.history.returned(now, key, sequence, app::content(&receipt.receipt.answer));
        }
        Ok(())
    }

    pub(crate) fn client(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.now;
        let client = &mut self.clients[index];
        let mut outgoing: Vec<Outgoing> = client.tick(now);
        if self.load && client.is_free() {
            outgoing.push(self.new_transaction(index));
        }
        if let Some(reader) = self.readers.get_mut(index) {
            let (asked, questions) = reader.tick(self.load);
            let key = self.clients[index].secret.public();
            if let Some((id, register)) = asked {
                self.history.invoked(now, key, id, register, true);
            }
            outgoing.extend(questions);
        }
        self.send_requests(index, outgoing);
        let pause = self.random.span(self.pauses.0, self.pauses.1);
        self.at(pause, Action::Client { client: index });
        Ok(())
    }

    fn new_transaction(&mut self, client: usize) -> Outgoing {
        let client = &mut self.clients[client];
        let Submission { sequence, body, frame } = client.submit(self.now);
        let key = client.secret.public();
        self.checker.submitted(key, sequence);
        if let Some((register, reads)) = app::names(&body) {
            self.history.invoked(self.now, key, sequence, register, reads);
        }
        frame
    }

    /// Has a client submit a transaction now, to these replicas at once.
    pub fn submit(&mut self, client: usize, to: &[ReplicaId]) {
        let (_, frame) = self.new_transaction(client);
        self.send_requests(client, to.iter().map(|to| (*to, frame.clone())).collect());
    }

    fn send_requests(&mut self, client: usize, outgoing: Vec<Outgoing>) {
        for (to, frame) in outgoing {
            let delay = self.network.delay();
            self.at(delay, Action::Request { client, to, frame });
        }
    }
}
