//! The example of README.md compiles, does what the text says, and is the one that stands there.

// The example begins.
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::state::{State, View};
use bytes::Bytes;

/// Remembers who filed a document first, and when.
struct Notary;

impl StateMachine for Notary {
    fn name(&self) -> &'static str {
        "notary"
    }

    fn genesis(&self, _config: &str, _state: &mut State) -> Result<(), String> {
        Ok(())
    }

    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        match body.len() {
            32 => Ok(()),
            other => Err(Refusal::new(100, format!("a digest has 32 bytes, this has {other}"))),
        }
    }

    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
        self.check(body)?; // Again: a lying leader need not have done it.
        if state.get(body).is_some() {
            return Err(Refusal::new(101, "this document is filed already"));
        }
        let entry = format!("{} at {} µs", context.organisation, context.time.0);
        state.put(body, entry.clone());
        Ok(entry.into())
    }

    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        view.get(request).ok_or_else(|| Refusal::new(102, "this document is not filed"))
    }
}
// The example ends.

use bft_core::types::Timestamp;
use crypto::ClientKey;

#[test]
fn the_readme_shows_this_example() {
    let begin = "// The example begins.\n";
    let (_, rest) = include_str!("readme.rs").split_once(begin).expect("the first mark");
    let (example, _) = rest.split_once("// The example ends.\n").expect("the second mark");
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "copy the example from bft-core/tests/readme.rs to README.md"
    );
}

#[test]
fn the_example_does_what_it_says() {
    let mut state = State::default();
    Notary.genesis("", &mut state).unwrap();
    let context = Context {
        height: 1,
        time: Timestamp(7),
        client: ClientKey([1; 32]),
        organisation: "north-bank".into(),
    };
    let document = [5; 32];
    assert_eq!(Notary.name(), "notary");
    assert_eq!(Notary.execute(&context, &document, &mut state), Ok("north-bank at 7 µs".into()));
    let code = |body: &[u8], state: &mut State| {
        Notary.execute(&context, body, state).map_err(|refusal| refusal.code)
    };
    assert_eq!(code(&document, &mut state), Err(101));
    assert_eq!(code(b"short", &mut state), Err(100));
}
