//! An engine that writes down what it is told.
//!
//! An engine is a deterministic function of its inputs: given the same ones again, it does the same work. So the inputs are recorded
//! while hosts run, with all the cryptography and encoding around them, and the engines alone are timed on them afterwards.

use bft_core::engine::{Engine, EngineConfig, Input, Lead, Outbox, Start, Status};
use bft_core::envelope::Promised;
use bft_core::types::{ReplicaId, Time};
use engines::{AnyEngine, AnyMessage, AnyRecord, AnyTimer};
use std::cell::RefCell;
use std::convert::identity;
use std::rc::Rc;

thread_local! {
    /// A host makes its engine by itself and shows it to nobody: so what the engines of this thread are told is left here.
    static HEARD: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
}

/// What an engine was told.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It started.
    Start(Box<EngineConfig>, Box<Start<Recorder>>, Time),
    /// It was given an input.
    Input(ReplicaId, Time, Box<Input<Recorder>>),
}

/// What all recorders of this thread heard since the last call, in order.
pub fn take() -> Vec<Heard> {
    HEARD.take()
}

fn hear(heard: Heard) {
    HEARD.with_borrow_mut(|all| all.push(heard));
}

/// See the module's text. A clone is the same engine: an input can be cloned only if its engine can.
#[derive(Clone, Debug)]
pub struct Recorder {
    me: ReplicaId,
    engine: Rc<RefCell<AnyEngine>>,
}

/// The start of the engine that a recorder stands before.
pub fn narrow_start(start: Start<Recorder>) -> Start<AnyEngine> {
    let Start { tip, tip_header, stable, records, blocks } = start;
    Start { tip, tip_header, stable, records, blocks }
}

/// The same of an input.
pub fn narrow(input: Input<Recorder>) -> Input<AnyEngine> {
    input.narrow(Some, Some).expect("messages and timers are the same")
}

fn pass_on(mut from: Outbox<AnyEngine>, to: &mut Outbox<Recorder>) {
    to.extend(from.take().into_iter().map(|output| output.widen(identity, identity, identity)));
}

impl Engine for Recorder {
    type Message = AnyMessage;
    type Record = AnyRecord;
    type Timer = AnyTimer;

    fn recover(
        config: EngineConfig,
        start: Start<Recorder>,
        now: Time,
        out: &mut Outbox<Recorder>,
    ) -> Recorder {
        hear(Heard::Start(Box::new(config), Box::new(start.clone()), now));
        let mut outputs = Outbox::default();
        let engine = AnyEngine::recover(config, narrow_start(start), now, &mut outputs);
        pass_on(outputs, out);
        Recorder { me: config.me, engine: Rc::new(RefCell::new(engine)) }
    }

    fn step(&mut self, now: Time, input: Input<Recorder>, out: &mut Outbox<Recorder>) {
        hear(Heard::Input(self.me, now, Box::new(input.clone())));
        let mut outputs = Outbox::default();
        self.engine.borrow_mut().step(now, narrow(input), &mut outputs);
        pass_on(outputs, out);
    }

    fn records(&self) -> Vec<AnyRecord> {
        self.engine.borrow().records()
    }

    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised> {
        self.engine.borrow().promises_of(replica)
    }

    fn led_by(&self) -> Lead {
        self.engine.borrow().led_by()
    }

    fn status(&self) -> Status {
        self.engine.borrow().status()
    }

    fn invariants(&self) {
        self.engine.borrow().invariants();
    }
}
