//! The log: entries above a base.

use bft_core::block::{Block, Header};
use bft_core::types::{Height, View};
use crypto::Digest;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// An entry's place: no two entries share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The view of the leader that made it.
    pub view: View,
    /// Its height.
    pub height: Height,
}

impl Position {
    /// Where a block stands.
    pub fn of(header: &Header) -> Position {
        Position { view: header.view, height: header.height }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub view: View,
    pub block: Digest,
    /// The block, above the committed height.
    pub body: Option<Block>,
}

/// Entries of consecutive heights. Invariant: views never fall from one height to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The entry right below the first one: committed, and under a certificate.
    base: Position,
    entries: VecDeque<Entry>,
}

impl Log {
    /// One without entries.
    pub fn on(base: Position) -> Log {
        Log { base, entries: VecDeque::new() }
    }

    pub fn base(&self) -> Position {
        self.base
    }

    /// The highest entry.
    pub fn last(&self) -> Position {
        let view = self.entries.back().map_or(self.base.view, |entry| entry.view);
        Position { view, height: self.base.height + self.entries.len() as u64 }
    }

    fn index(&self, height: Height) -> Option<usize> {
        usize::try_from(height.checked_sub(self.base.height + 1)?).ok()
    }

    pub fn get(&self, height: Height) -> Option<&Entry> {
        self.entries.get(self.index(height)?)
    }

    pub fn get_mut(&mut self, height: Height) -> Option<&mut Entry> {
        let index = self.index(height)?;
        self.entries.get_mut(index)
    }

    /// The view of the entry at a height, the base's included.
    pub fn view_at(&self, height: Height) -> Option<View> {
        if height == self.base.height {
            Some(self.base.view)
        } else {
            self.get(height).map(|entry| entry.view)
        }
    }

    /// Whether an entry is here (the paper's log matching: then all below it are the same, too).
    pub fn has(&self, position: Position) -> bool {
        self.view_at(position.height) == Some(position.view)
    }

    /// Entries from a height on, with their heights.
    pub fn from(&self, height: Height) -> impl Iterator<Item = (Height, &Entry)> {
        let first = height.max(self.base.height + 1);
        let skip = self.index(first).unwrap_or(0);
        (first..).zip(self.entries.iter().skip(skip))
    }

    /// Adds an entry on top.
    pub fn push(&mut self, entry: Entry) {
        assert!(entry.view >= self.last().view, "views never fall in a log");
        self.entries.push_back(entry);
    }

    /// Removes the entries from a height on.
    pub fn truncate(&mut self, height: Height) {
        if let Some(index) = self.index(height) {
            self.entries.truncate(index);
        }
    }

    /// Removes the entries up to a height, which is here.
    pub fn compact(&mut self, height: Height) {
        let view = self.view_at(height).expect("the new base is in the log");
        let index = self.index(height).map_or(0, |index| index + 1);
        self.entries.drain(..index);
        self.base = Position { view, height };
    }

    /// The highest position, at or below `height`, whose view is at most `view`: where a log that has an entry of that view there can agree with
    /// this one at best. The base, if there is none above it.
    pub fn highest_of(&self, height: Height, view: View) -> Position {
        let mut height = height.min(self.last().height);
        while height > self.base.height {
            let at = self.view_at(height).expect("heights up to the last one are here");
            if at <= view {
                return Position { view: at, height };
            }
            height -= 1;
        }
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(views: &[View]) -> Log {
        let mut log = Log::on(Position { view: 1, height: 10 });
        for view in views {
            log.push(Entry { view: *view, block: Digest::ZERO, body: None });
        }
        log
    }

    #[test]
    fn heights_count_from_the_base() {
        let mut log = log(&[1, 2, 2]);
        assert_eq!(log.last(), Position { view: 2, height: 13 });
        assert_eq!(
            (log.view_at(9), log.view_at(10), log.view_at(12), log.view_at(14)),
            (None, Some(1), Some(2), None)
        );
        assert_eq!(log.from(12).map(|(height, _)| height).collect::<Vec<_>>(), [12, 13]);
        assert_eq!(log.from(0).count(), 3);
        log.compact(11);
        assert_eq!(
            (log.base(), log.last()),
            (Position { view: 1, height: 11 }, Position { view: 2, height: 13 })
        );
        log.truncate(13);
        assert_eq!(log.last(), Position { view: 2, height: 12 });
        log.compact(12);
        assert_eq!((log.base(), log.last()), (log.last(), Position { view: 2, height: 12 }));
    }

    #[test]
    fn agreement_is_sought_a_view_at_a_time() {
        let log = log(&[2, 2, 4, 4]);
        assert_eq!(log.highest_of(14, 4), Position { view: 4, height: 14 });
        assert_eq!(log.highest_of(14, 3), Position { view: 2, height: 12 });
        assert_eq!(log.highest_of(99, 1), Position { view: 1, height: 10 });
        assert_eq!(log.highest_of(11, 9), Position { view: 2, height: 11 });
    }
}
