//! Answering replicas that catch up, no faster than is good for the rest.

use crate::envelope::{ChainQuestion, StateQuestion};
use crate::types::{Height, Time};
use crypto::{Digest, ReplicaId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Questions of one replica that wait, at most. Full: the newest is dropped, and will be asked again.
const WAITING: usize = 8;

/// Answers to one question for the chain, one behind the other, so that the asker need not wait a round trip for each: so many
/// are on their way at a time, at most. The asker wants more of them as they arrive.
pub const CHAIN_ANSWERS: u8 = 4;

/// Something asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Bodies by digest.
    Blocks(Vec<Digest>),
    /// The certified chain from a height on, in so many answers.
    Chain(Height, u8),
    /// State.
    State(StateQuestion),
    /// What the asker has promised.
    Promises(u64),
}

#[derive(Debug, Default)]
struct Account {
    /// From when on it may be answered again.
    free_at: Time,
    /// What is being read from the log.
    reading: Option<Question>,
    waiting: VecDeque<Question>,
    /// Where the chain goes on that it was given.
    next: Option<Height>,
}

/// How much each replica was given, as time to wait.
#[derive(Debug)]
pub struct Serving {
    bytes_per_second: u64,
    accounts: BTreeMap<ReplicaId, Account>,
}

impl Serving {
    /// At most so many bytes a second for each replica.
    pub fn new(bytes_per_second: u64) -> Serving {
        Serving { bytes_per_second: bytes_per_second.max(1), accounts: BTreeMap::new() }
    }

    /// A replica asks.
    pub fn ask(&mut self, from: ReplicaId, question: Question) {
        let account = self.accounts.entry(from).or_default();
        if account.waiting.len() < WAITING && !account.waiting.contains(&question) {
            account.waiting.push_back(question);
        }
    }

    /// A replica asks for the chain, or for more answers to the question it has asked.
    pub fn ask_chain(&mut self, from: ReplicaId, question: ChainQuestion) {
        let more = match question {
            ChainQuestion::From(height) => return self.ask(from, Question::Chain(height, CHAIN_ANSWERS)),
            ChainQuestion::More(more) => more,
        };
        let account = self.accounts.entry(from).or_default();
        let open = account.waiting.iter_mut().chain(&mut account.reading).find_map(|open| match open {
            Question::Chain(_, answers) => Some(answers),
            Question::Blocks(_) | Question::State(_) | Question::Promises(_) => None,
        });
        if let Some(answers) = open {
            *answers = answers.saturating_add(more).min(CHAIN_ANSWERS);
        } else if let Some(next) = account.next.filter(|_| more > 0) {
            self.ask(from, Question::Chain(next, more.min(CHAIN_ANSWERS)));
        }
    }

    /// The next question to answer, one of a replica at a time. Say with [`Serving::served`] what came of it.
    pub fn next(&mut self, now: Time) -> Option<(ReplicaId, Question)> {
        self.accounts.iter_mut().find_map(|(from, account)| {
            if account.reading.is_some() || account.free_at > now {
                return None;
            }
            account.reading = account.waiting.pop_front();
            Some((*from, account.reading.clone()?))
        })
    }

    /// A replica was answered with so many bytes; of the chain, with what goes through a height.
    pub fn served(&mut self, now: Time, to: ReplicaId, bytes: usize, through: Option<Height>) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        let account = self.accounts.entry(to).or_default();
        account.free_at = account.free_at.max(now) + Duration::from_nanos(nanos);
        if let Some(Question::Chain(_, answers)) = account.reading.take() {
            account.next = through.map(|through| through + 1);
            if let Some(next) = account.next
                && answers > 1
            {
                account.waiting.push_front(Question::Chain(next, answers - 1));
            }
        }
    }

    /// When [`Serving::next`] will have something.
    pub fn deadline(&self) -> Option<Time> {
        let waiting =
            self.accounts.values().filter(|account| account.reading.is_none() && !account.waiting.is_empty());
        waiting.map(|account| account.free_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_answered_no_faster_than_its_rate_and_others_meanwhile() {
        let (one, two) = (ReplicaId(1), ReplicaId(2));
        let mut serving = Serving::new(1000);
        for height in [1, 2, 2] {
            serving.ask(one, Question::Chain(height, 1));
        }
        let now = Time(5);
        assert_eq!(serving.next(now), Some((one, Question::Chain(1, 1))));
        assert_eq!(serving.next(now), None, "one answer at a time");
        serving.served(now, one, 500, Some(1));
        assert_eq!(serving.next(now), None);
        serving.ask(two, Question::Chain(9, 1));
        assert_eq!(serving.next(now), Some((two, Question::Chain(9, 1))));
        let later = now + Duration::from_millis(500);
        assert_eq!(serving.deadline(), Some(later));
        assert_eq!(serving.next(later), Some((one, Question::Chain(2, 1))));
        serving.served(later, one, 0, Some(2));
        assert_eq!(
            (serving.next(later), serving.deadline()),
            (None, None),
            "what was asked twice is answered once"
        );
    }

    #[test]
    fn a_question_for_the_chain_gets_several_answers_as_long_as_there_is_more() {
        let one = ReplicaId(1);
        let mut serving = Serving::new(u64::MAX);
        serving.ask(one, Question::Chain(5, 3));
        let mut next = |through| {
            let asked = serving.next(Time(0));
            serving.served(Time(0), one, 10, through);
            asked.map(|(_, question)| question)
        };
        assert_eq!(next(Some(7)), Some(Question::Chain(5, 3)));
        assert_eq!(next(Some(8)), Some(Question::Chain(8, 2)));
        assert_eq!(next(Some(9)), Some(Question::Chain(9, 1)));
        assert_eq!(next(None), None);
        serving.ask(one, Question::Chain(10, 3));
        assert_eq!(serving.next(Time(0)), Some((one, Question::Chain(10, 3))));
        serving.served(Time(0), one, 0, None);
        assert_eq!(serving.next(Time(0)), None, "the log ends");
    }

    #[test]
    fn more_answers_go_on_where_the_last_one_ended() {
        let one = ReplicaId(1);
        let mut serving = Serving::new(u64::MAX);
        let more = ChainQuestion::More(2);
        serving.ask_chain(one, more);
        assert_eq!(serving.next(Time(0)), None, "nothing was asked before");
        serving.ask_chain(one, ChainQuestion::From(5));
        assert_eq!(serving.next(Time(0)), Some((one, Question::Chain(5, CHAIN_ANSWERS))));
        serving.ask_chain(one, more);
        serving.served(Time(0), one, 10, Some(7));
        // No more than that are ever owed.
        for (from, owed) in [(8, 3), (10, 2), (12, 1)] {
            assert_eq!(serving.next(Time(0)), Some((one, Question::Chain(from, owed))));
            serving.served(Time(0), one, 10, Some(from + 1));
        }
        assert_eq!(serving.next(Time(0)), None);
        serving.ask_chain(one, more);
        assert_eq!(serving.next(Time(0)), Some((one, Question::Chain(14, 2))));
        serving.ask_chain(one, more);
        serving.served(Time(0), one, 10, Some(14));
        assert_eq!(serving.next(Time(0)), Some((one, Question::Chain(15, 3))));
        serving.served(Time(0), one, 0, None);
        serving.ask_chain(one, more);
        assert_eq!(serving.next(Time(0)), None, "the log has ended: the asker was told and asks anew");
    }

    // threat 65
    #[test]
    fn questions_without_end_are_not_remembered() {
        let mut serving = Serving::new(1);
        for height in 0..1000 {
            serving.ask(ReplicaId(1), Question::Chain(height, 1));
        }
        let mut answered = 0;
        while let Some((to, _)) = serving.next(Time(0)) {
            serving.served(Time(0), to, 0, None);
            answered += 1;
        }
        assert_eq!(answered, WAITING);
    }
}
