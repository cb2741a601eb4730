//! An application that does nothing: transactions are ordered, made durable and receipted, and change nothing. For measurements of
//! everything else.

use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::state::{State, View};
use bytes::Bytes;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

impl StateMachine for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn genesis(&self, _config: &str, _state: &mut State) -> Result<(), String> {
        Ok(())
    }

    fn check(&self, _body: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    fn execute(&self, _context: &Context, _body: &[u8], _state: &mut State) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }

    fn query(&self, _view: &mut View<'_>, _request: &[u8]) -> Result<Bytes, Refusal> {
        Err(Refusal::new(100, "this application knows nothing that could be asked for"))
    }
}
