//! What an operation is.

use super::stopwatch::{Clock, Stopwatch};
use serde::Serialize;
use std::fmt;
use std::hint::black_box;

/// Which part of a replica does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Keys, signatures, digests.
    Crypto,
    /// Frames.
    Codec,
    /// The log on disk.
    Log,
    /// The protocols.
    Engine,
    /// Pool and execution.
    Host,
    /// The replicated state.
    State,
}

impl Group {
    /// All of them, in the order of the list.
    pub const ALL: [Group; 6] =
        [Group::Crypto, Group::Codec, Group::Log, Group::Engine, Group::Host, Group::State];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Crypto => "crypto",
            Group::Codec => "codec",
            Group::Log => "log",
            Group::Engine => "engine",
            Group::Host => "host",
            Group::State => "state",
        })
    }
}

/// One thing that a replica does.
pub struct Operation {
    /// Which part of a replica does it.
    pub group: Group,
    /// Its name, unique within the group: words, then what they depend on, with slashes in between.
    pub name: String,
    /// What the time is given for.
    pub unit: &'static str,
    /// What the time is read from.
    pub clock: Clock,
    prepare: Box<dyn Fn() -> Prepared>,
}

/// An operation with its inputs.
pub struct Prepared {
    units: u64,
    perform: Box<dyn FnMut(&mut Stopwatch)>,
}

impl Operation {
    pub(super) fn new(
        group: Group,
        name: impl Into<String>,
        unit: &'static str,
        prepare: impl Fn() -> Prepared + 'static,
    ) -> Operation {
        Operation { group, name: name.into(), unit, clock: Clock::Cpu, prepare: Box::new(prepare) }
    }

    /// The same by the wall's clock.
    pub(super) fn on_the_wall(self) -> Operation {
        Operation { clock: Clock::Wall, ..self }
    }

    /// Makes its inputs: keys are dealt, states filled. It may take a while.
    pub fn prepare(&self) -> Prepared {
        (self.prepare)()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, per {}", self.group, self.name, self.unit)
    }
}

impl Prepared {
    /// `perform` does `units` units, and times the part of what it does that counts.
    pub(super) fn in_parts(units: usize, perform: impl FnMut(&mut Stopwatch) + 'static) -> Prepared {
        assert!(units > 0, "an operation that does nothing has no price");
        Prepared { units: units as u64, perform: Box::new(perform) }
    }

    /// All that `work` does counts; it does `units` units.
    pub(super) fn timed<T>(units: usize, mut work: impl FnMut() -> T + 'static) -> Prepared {
        Prepared::in_parts(units, move |stopwatch| drop(black_box(stopwatch.time(&mut work))))
    }

    /// `work` does one unit with one of `inputs`; all of them take their turn. For what is so short that reading a clock would count.
    pub(super) fn for_each<I: 'static, T>(inputs: Vec<I>, work: impl Fn(&I) -> T + 'static) -> Prepared {
        Prepared::timed(inputs.len(), move || {
            for input in &inputs {
                black_box(work(black_box(input)));
            }
        })
    }

    /// How many units are done each time.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Does it once.
    pub fn perform(&mut self, stopwatch: &mut Stopwatch) {
        (self.perform)(stopwatch);
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({} units)", self.units)
    }
}
