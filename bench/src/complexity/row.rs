//! One measured case, beside what it was expected to be.

use super::formula::{self, Formula, Size, Term};
use crate::variant::Variant;
use crypto::Scheme;
use serde::Serialize;
use sim::complexity::{Case, Cost};

/// How far a count may be off its formula.
const TOLERANCE: f64 = 0.05;

/// Kinds that are sent as time passes, however little is decided.
pub(super) const BY_TIME: [&str; 2] = ["heartbeat", "alive"];

/// A count, and what was expected.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// What was counted.
    pub seen: f64,
    /// How it comes about, in n, q, a, c, s.
    pub formula: Option<&'static str>,
    /// Its value.
    pub expected: Option<f64>,
    /// Whether there may be more.
    pub at_least: bool,
}

impl Count {
    fn new(seen: f64, formula: Option<Formula>) -> Count {
        Count {
            seen,
            formula: formula.as_ref().map(|formula| formula.text),
            expected: formula.as_ref().map(|formula| formula.value),
            at_least: formula.is_some_and(|formula| formula.at_least),
        }
    }

    /// Whether it is what was expected, or more where there may be more.
    pub fn holds(&self) -> bool {
        let Some(expected) = self.expected else { return true };
        let (more, most) = (self.seen - expected, TOLERANCE * expected);
        more >= -most && (self.at_least || more <= most)
    }
}

/// Messages of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// Their name.
    pub kind: String,
    /// How many.
    pub messages: Count,
    /// Their bytes, without the transport's own.
    pub bytes: f64,
    /// Signatures and certificates in them.
    pub authenticators: Count,
}

/// What one block, transaction, failure or return costs, everybody's together.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Protocol and rule.
    pub variant: Variant,
    /// How certificates are made.
    pub scheme: String,
    /// Size of the committee.
    pub replicas: usize,
    /// What is measured.
    pub case: &'static str,
    /// How many of them the counts were divided by.
    pub times: u64,
    /// All messages, but for those that are sent as time passes.
    pub messages: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Of these, payload: once for each copy of a block that was sent.
    pub payload_bytes: f64,
    /// Signatures and certificates in them.
    pub authenticators: f64,
    /// Signatures and shares made.
    pub signed: Count,
    /// Signatures and certificates verified.
    pub verified: Count,
    /// Pairings evaluated.
    pub pairings: Count,
    /// Message delays until the client has its receipt.
    pub delays: Option<Count>,
    /// By kind of message.
    pub kinds: Vec<Kind>,
}

/// What a case is called.
pub fn name(case: Case) -> &'static str {
    match case {
        Case::Block => "block",
        Case::Alone => "alone",
        Case::LeaderFailure => "leader-failure",
        Case::CatchUp => "catch-up",
    }
}

impl Row {
    /// Divides the counts, and puts the formulas beside them.
    pub fn new(variant: Variant, scheme: Scheme, replicas: usize, case: Case, cost: &Cost) -> Row {
        let times = cost.times.max(1) as f64;
        let certified = cost.certified as f64 / times;
        let size = Size::new(variant, scheme, replicas, certified);
        let terms = formula::terms(variant, case, size);
        let kinds = kinds(cost, &terms, times);
        let [signed, verified, pairings] = match formula::work(variant, case, size) {
            Some(formulas) => formulas.map(Some),
            None => [None, None, None],
        };
        let work = cost.work;
        let counted =
            || cost.sent.iter().filter(|(kind, _)| !BY_TIME.contains(kind)).map(|(_, traffic)| traffic);
        // Catching up, one replica fetches each block once; else a block goes to all others.
        let copies = if case == Case::CatchUp { 1.0 } else { replicas as f64 - 1.0 };
        Row {
            variant,
            scheme: scheme.to_string(),
            replicas,
            case: name(case),
            times: cost.times,
            messages: counted().map(|traffic| traffic.messages).sum::<u64>() as f64 / times,
            bytes: counted().map(|traffic| traffic.bytes).sum::<u64>() as f64 / times,
            payload_bytes: cost.payload_bytes as f64 * copies / times,
            authenticators: counted().map(|traffic| traffic.authenticators).sum::<u64>() as f64 / times,
            signed: Count::new(work.signed as f64 / times, signed),
            verified: Count::new(work.verified as f64 / times, verified),
            pairings: Count::new(work.pairings as f64 / times, pairings),
            delays: cost.delays.map(|delays| Count::new(delays as f64, Some(formula::delays(variant)))),
            kinds,
        }
    }

    /// Which network this is, in words.
    pub fn subject(&self) -> String {
        format!("{}, {}, n = {}", self.variant.name(), self.scheme, self.replicas)
    }

    /// Messages that have a formula, and what it gives.
    pub fn explained(&self) -> (f64, f64) {
        let with = self.kinds.iter().filter_map(|kind| Some((kind.messages.seen, kind.messages.expected?)));
        with.fold((0.0, 0.0), |(seen, expected), (a, b)| (seen + a, expected + b))
    }

    /// What is off its formula.
    pub fn deviations(&self) -> Vec<String> {
        let mut counts: Vec<(String, &Count)> = vec![
            ("signatures made".into(), &self.signed),
            ("authenticators verified".into(), &self.verified),
            ("pairings".into(), &self.pairings),
        ];
        counts.extend(self.delays.iter().map(|delays| ("message delays".into(), delays)));
        for kind in &self.kinds {
            counts.push((format!("messages {}", kind.kind), &kind.messages));
            counts.push((format!("authenticators in {}", kind.kind), &kind.authenticators));
        }
        let off = counts.into_iter().filter(|(_, count)| !count.holds());
        off.map(|(what, count)| {
            let (formula, expected) = (count.formula.unwrap_or_default(), count.expected.unwrap_or_default());
            format!(
                "{}, {}: {what} {:.2}, and {formula} is {expected:.2}",
                self.subject(),
                self.case,
                count.seen
            )
        })
        .collect()
    }
}

/// Every kind that was sent or expected.
fn kinds(cost: &Cost, terms: &[Term], times: f64) -> Vec<Kind> {
    let mut names: Vec<&str> = terms.iter().map(|term| term.kind).collect();
    names.extend(cost.sent.keys().filter(|kind| !terms.iter().any(|term| term.kind == **kind)));
    let kind = |name: &str| {
        let traffic = cost.sent.get(name).copied().unwrap_or_default();
        let term = terms.iter().find(|term| term.kind == name);
        let per = |count: u64| count as f64 / times;
        Kind {
            kind: name.to_owned(),
            messages: Count::new(per(traffic.messages), term.and_then(|term| term.messages.clone())),
            bytes: per(traffic.bytes),
            authenticators: Count::new(
                per(traffic.authenticators),
                term.map(|term| term.authenticators.clone()),
            ),
        }
    };
    names.into_iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::host::accounting::Traffic;
    use crypto::Work;

    /// Ten blocks of PBFT among four, as they should be: 3, 9 and 12 messages; a checkpoint for every other one.
    fn good() -> Cost {
        let traffic = |messages: u64| Traffic { messages, bytes: 100 * messages, authenticators: messages };
        let sent = [
            ("pre-prepare", traffic(30)),
            ("prepare", traffic(90)),
            ("commit", traffic(120)),
            ("checkpoint-votes", Traffic { messages: 4, bytes: 40, authenticators: 15 }),
            ("checkpoint-certificate", traffic(15)),
        ];
        // Twelve promises a checkpointed block and eight another, with two signatures each; four and eight certificates.
        let work = Work { signed: 2 * (5 * 12 + 5 * 8), verified: 60, pairings: 120 };
        Cost {
            times: 10,
            certified: 5,
            heights: 10,
            payload_bytes: 1000,
            sent: sent.into(),
            work,
            delays: None,
        }
    }

    fn deviations(cost: &Cost) -> Vec<String> {
        Row::new(Variant::Pbft, Scheme::Threshold, 4, Case::Block, cost).deviations()
    }

    #[test]
    fn what_is_as_the_formulas_say_deviates_in_nothing() {
        assert_eq!(deviations(&good()), Vec::<String>::new());
        let row = Row::new(Variant::Pbft, Scheme::Threshold, 4, Case::Block, &good());
        assert_eq!((row.messages, row.payload_bytes), (25.9, 300.0));
        assert_eq!(row.explained(), (25.5, 25.5));
    }

    #[test]
    fn a_kind_that_is_sent_too_often_or_not_at_all_is_named_with_its_formula() {
        let mut cost = good();
        cost.sent.get_mut("prepare").expect("there are some").messages = 96;
        let found = deviations(&cost);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("messages prepare 9.60, and (n−1)² is 9.00"), "{found:?}");
        cost = good();
        cost.sent.remove("commit");
        assert_eq!(deviations(&cost).len(), 2, "messages, and authenticators in them");
    }

    #[test]
    fn work_beyond_the_formula_is_found() {
        let mut cost = good();
        cost.work.pairings += 8;
        let found = deviations(&cost);
        assert!(found.len() == 1 && found[0].contains("pairings 12.80, and 2(1+c)n is 12.00"), "{found:?}");
    }

    #[test]
    fn five_in_a_hundred_are_borne() {
        let mut cost = good();
        cost.sent.get_mut("commit").expect("there are some").messages = 126;
        assert_eq!(deviations(&cost), Vec::<String>::new());
        cost.sent.get_mut("commit").expect("there are some").messages = 127;
        assert_eq!(deviations(&cost).len(), 1);
    }

    #[test]
    fn more_is_borne_where_there_may_be_more_and_less_is_not() {
        let formula = |at_least| Some(Formula { text: "n", value: 10.0, at_least });
        let holds = |seen, at_least| Count::new(seen, formula(at_least)).holds();
        assert!(holds(15.0, true) && !holds(15.0, false));
        assert!(!holds(9.0, true) && !holds(9.0, false));
    }

    #[test]
    fn what_is_sent_as_time_passes_is_no_message_of_a_block() {
        let mut cost = good();
        cost.sent.insert("heartbeat", Traffic { messages: 1000, bytes: 1000, authenticators: 0 });
        let row = Row::new(Variant::Pbft, Scheme::Threshold, 4, Case::Block, &cost);
        assert_eq!(row.messages, 25.9);
    }
}
