//! Whether what the clients were told is one ledger. Computed anew, with nothing of the ledger's own code but its words.

use super::load::{Look, Outcome};
use app_examples::ledger::{Code, Operation, Outcome as Told};
use bft_core::receipt::code;
use crypto::{ClientKey, Digest};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What follows from all receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// What each account holds.
    pub balances: BTreeMap<ClientKey, u64>,
    /// What was issued.
    pub issued: u64,
    /// Transactions executed.
    pub executed: usize,
    /// Transactions refused, for want of money.
    pub refused: usize,
}

/// Goes through all outcomes in the order of the ledger.
///
/// # Errors
/// The first that fits no ledger: two entries of one height, two transactions at one place or under one sequence, an answer
/// that does not follow from what came before, one that stands before another that was acknowledged before it was submitted.
pub fn check<'a>(outcomes: &'a [Outcome]) -> Result<Books, String> {
    let mut in_order: Vec<&Outcome> = outcomes.iter().collect();
    in_order.sort_by_key(|outcome| place(outcome));
    let mut books = Books::default();
    let mut sequences = BTreeSet::new();
    let mut entries: BTreeMap<u64, Digest> = BTreeMap::new();
    let shown =
        |outcome: &'a Outcome| outcome.proven.entries.iter().chain([&outcome.proven.certificate.entry]);
    for entry in outcomes.iter().flat_map(shown) {
        if *entries.entry(entry.height).or_insert_with(|| entry.digest()) != entry.digest() {
            return Err(format!("two ledgers: receipts prove different entries of height {}", entry.height));
        }
    }
    for (earlier, later) in in_order.iter().zip(in_order.iter().skip(1)) {
        if place(earlier) == place(later) {
            return Err(format!("two transactions at one place: {} and {}", words(earlier), words(later)));
        }
    }
    for outcome in &in_order {
        if !sequences.insert((outcome.client, outcome.transaction.sequence)) {
            return Err(format!("two transactions under one sequence: {}", words(outcome)));
        }
        let expected = books.execute(outcome);
        let receipt = &outcome.proven.receipt;
        let told = (receipt.code == code::OK).then(|| Told::decode(&receipt.answer).ok());
        let holds = match (expected, told) {
            (Ok(expected), Some(Some(told))) => expected == told,
            (Err(expected), None) => expected as u32 == receipt.code,
            (Ok(_), None | Some(None)) | (Err(_), Some(_)) => false,
        };
        if !holds {
            return Err(format!("{} should have given {expected:?}: {receipt:?}", words(outcome)));
        }
    }
    in_real_time(&in_order)?;
    Ok(books)
}

impl Books {
    fn execute(&mut self, outcome: &Outcome) -> Result<Told, Code> {
        let sender = outcome.transaction.client;
        match &outcome.operation {
            Operation::Issue { to, amount, .. } => {
                self.executed += 1;
                self.issued += amount;
                let balance = self.balances.entry(*to).or_default();
                *balance += amount;
                Ok(Told::Issued { balance: *balance, outstanding: self.issued })
            }
            Operation::Transfer { to, amount, .. } => {
                let held = self.balances.entry(sender).or_default();
                let Some(left) = held.checked_sub(*amount) else {
                    self.refused += 1;
                    return Err(Code::InsufficientBalance);
                };
                *held = left;
                *self.balances.entry(*to).or_default() += amount;
                self.executed += 1;
                Ok(Told::Transferred { balance: left })
            }
            other => unreachable!("no client does {other}"),
        }
    }
}

/// What was acknowledged before another was submitted stands before it.
fn in_real_time(in_order: &[&Outcome]) -> Result<(), String> {
    // From the end of the ledger: nothing that stands later may be done before this began.
    let mut earliest: Option<&Outcome> = None;
    for outcome in in_order.iter().rev() {
        if let Some(later) = earliest
            && later.done < outcome.begun
        {
            return Err(format!(
                "{} was acknowledged before {} was submitted, and stands after it",
                words(later),
                words(outcome)
            ));
        }
        if earliest.is_none_or(|earliest| outcome.done < earliest.done) {
            earliest = Some(outcome);
        }
    }
    Ok(())
}

/// Whether the linearizable reads are: each saw what its height says, nothing that was submitted only after it had its answer, and everything
/// that was acknowledged, or shown to another read, before it was asked.
///
/// # Errors
/// The first one that is not.
pub fn check_reads(outcomes: &[Outcome], reads: &[Look]) -> Result<(), String> {
    let mut in_order: Vec<&Outcome> = outcomes.iter().collect();
    in_order.sort_by_key(|outcome| place(outcome));
    let mut by_height: Vec<&Look> = reads.iter().collect();
    by_height.sort_by_key(|look| look.height);
    // What stands below the height of the read at hand.
    let (mut books, mut executed) = (Books::default(), 0);
    for look in &by_height {
        while let Some(outcome) = in_order.get(executed).filter(|outcome| place(outcome).0 < look.height) {
            // Whether the answer is right was checked with the rest.
            let _ = books.execute(outcome);
            executed += 1;
        }
        // A read that was ordered stands between two transactions of its block.
        let mut block = books.clone();
        let mut held = vec![block.balances.get(&look.account).copied().unwrap_or(0)];
        for outcome in in_order[executed..].iter().take_while(|outcome| place(outcome).0 == look.height) {
            let _ = block.execute(outcome);
            held.push(block.balances.get(&look.account).copied().unwrap_or(0));
        }
        if !held.contains(&look.balance) {
            return Err(format!(
                "at height {} {} holds {held:?}, from place to place, and a read said {}",
                look.height, look.account, look.balance
            ));
        }
    }
    for look in reads {
        let missed =
            in_order.iter().find(|outcome| outcome.done < look.begun && place(outcome).0 > look.height);
        if let Some(missed) = missed {
            return Err(format!(
                "a read of height {} misses {}, acknowledged before",
                look.height,
                words(missed)
            ));
        }
        let early =
            in_order.iter().find(|outcome| outcome.begun > look.done && place(outcome).0 <= look.height);
        if let Some(early) = early {
            return Err(format!(
                "a read of height {} knew of {}, submitted after",
                look.height,
                words(early)
            ));
        }
    }
    // Of reads that ended before another began, none may be higher.
    let mut by_end: Vec<&Look> = reads.iter().collect();
    by_end.sort_by_key(|look| look.done);
    let mut by_begin: Vec<&Look> = reads.iter().collect();
    by_begin.sort_by_key(|look| look.begun);
    let (mut ended, mut highest) = (0, 0);
    for look in by_begin {
        while let Some(before) = by_end.get(ended).filter(|before| before.done < look.begun) {
            highest = highest.max(before.height);
            ended += 1;
        }
        if look.height < highest {
            return Err(format!("a read of height {} came after one of height {highest}", look.height));
        }
    }
    Ok(())
}

/// The longest time without any receipt from `begin` on, and when it ended.
pub fn longest_silence(outcomes: &[Outcome], begin: Instant) -> (Duration, Instant) {
    let mut times: Vec<Instant> =
        outcomes.iter().map(|outcome| outcome.done).filter(|at| *at > begin).collect();
    times.sort_unstable();
    let earlier = std::iter::once(begin).chain(times.iter().copied());
    times.iter().zip(earlier).map(|(at, before)| (*at - before, *at)).max().unwrap_or((Duration::ZERO, begin))
}

fn place(outcome: &Outcome) -> (u64, u64) {
    (outcome.proven.height(), outcome.proven.index)
}

fn words(outcome: &Outcome) -> String {
    let Outcome { client, operation, transaction, .. } = outcome;
    format!("{operation} of client {client} (sequence {}, at {:?})", transaction.sequence, place(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
    use bft_core::receipt::{ProvenReceipt, Receipt};
    use bft_core::transaction::{Kind, Transaction};
    use crypto::ClientSecret;

    const MS: Duration = Duration::from_millis(1);

    /// A ledger as clients see it.
    struct Story {
        begin: Instant,
        outcomes: Vec<Outcome>,
    }

    impl Story {
        /// Client 0 issues 100 to itself.
        fn new() -> Story {
            let mut story = Story { begin: Instant::now(), outcomes: Vec::new() };
            let issue = Operation::Issue { asset: asset(), to: secret(0).public(), amount: 100 };
            story.add(issue, 0, Ok(Told::Issued { balance: 100, outstanding: 100 }));
            story
        }

        /// Client 0 pays client 1.
        fn pay(&mut self, amount: u64, height: u64, told: Result<Told, Code>) {
            let to = secret(1).public();
            self.add(
                Operation::Transfer { asset: asset(), to, amount, memo: Default::default() },
                height,
                told,
            );
        }

        fn add(&mut self, operation: Operation, height: u64, told: Result<Told, Code>) {
            let number = self.outcomes.len() as u32;
            let body = operation.encode();
            let transaction =
                Transaction::sign(&secret(0), &Digest::ZERO, Kind::Application, u64::from(number), body);
            let (code, answer) = match told {
                Ok(told) => (0, told.encode()),
                Err(code) => (code as u32, Default::default()),
            };
            let entry = LedgerEntry {
                epoch: 1,
                height,
                block: Digest::ZERO,
                time: height,
                receipts_root: Digest::ZERO,
                state_root: None,
                next_epoch: None,
                previous: Digest::ZERO,
            };
            let proven = ProvenReceipt {
                receipt: Receipt { transaction: Digest::ZERO, code, answer },
                index: 0,
                count: 1,
                path: Vec::new(),
                entries: vec![entry],
                certificate: CheckpointCertificate { entry, proof: None },
            };
            let (begun, done) = (self.begin + 2 * number * MS, self.begin + (2 * number + 1) * MS);
            self.outcomes.push(Outcome {
                client: 0,
                operation,
                transaction,
                begun,
                done,
                proven,
                unknown: 0,
            });
        }

        fn refused_for(&self, why: &str) {
            let error = check(&self.outcomes).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    fn secret(client: u8) -> ClientSecret {
        ClientSecret::from_seed([client; 32])
    }

    fn asset() -> app_examples::ledger::AssetCode {
        "EUR".parse().unwrap()
    }

    #[test]
    fn books_that_add_up() {
        let mut story = Story::new();
        story.pay(60, 1, Ok(Told::Transferred { balance: 40 }));
        story.pay(60, 2, Err(Code::InsufficientBalance));
        let books = check(&story.outcomes).unwrap();
        assert_eq!((books.issued, books.executed, books.refused), (100, 2, 1));
        assert_eq!(books.balances, [(secret(0).public(), 40), (secret(1).public(), 60)].into());
        assert_eq!(longest_silence(&story.outcomes, story.begin), (2 * MS, story.begin + 5 * MS));
    }

    #[test]
    fn reads_that_are_stale_or_wrong_are_found() {
        // Issued at height 0 in [0, 1] ms, paid at height 1 in [2, 3] and at height 2 in [4, 5].
        let mut story = Story::new();
        story.pay(60, 1, Ok(Told::Transferred { balance: 40 }));
        story.pay(30, 2, Ok(Told::Transferred { balance: 10 }));
        let look = |begun: u32, done: u32, height, balance| Look {
            begun: story.begin + begun * MS,
            done: story.begin + done * MS,
            account: secret(0).public(),
            height,
            balance,
        };
        let refused = |looks: &[Look]| check_reads(&story.outcomes, looks).unwrap_err();
        let good = [look(4, 6, 1, 40), look(4, 6, 2, 10), look(7, 8, 2, 10)];
        assert_eq!(check_reads(&story.outcomes, &good), Ok(()));
        assert!(refused(&[look(4, 6, 1, 41)]).contains("holds [100, 40]"));
        assert!(refused(&[look(6, 7, 1, 40)]).contains("misses"));
        assert!(refused(&[look(0, 3, 2, 10)]).contains("submitted after"));
        let back = [
            Look { done: story.begin + 4 * MS + MS / 4, ..look(4, 0, 2, 10) },
            Look { begun: story.begin + 4 * MS + MS / 2, ..look(0, 6, 1, 40) },
        ];
        assert!(refused(&back).contains("came after one of height 2"));
    }

    #[test]
    fn what_fits_no_ledger_is_found() {
        let mut wrong_answer = Story::new();
        wrong_answer.pay(60, 1, Ok(Told::Transferred { balance: 41 }));
        wrong_answer.refused_for("should have given");

        let mut overdrawn = Story::new();
        overdrawn.pay(101, 1, Ok(Told::Transferred { balance: 0 }));
        overdrawn.refused_for("should have given");

        let mut refused_with_money = Story::new();
        refused_with_money.pay(1, 1, Err(Code::InsufficientBalance));
        refused_with_money.refused_for("should have given");

        let mut one_place = Story::new();
        one_place.pay(60, 1, Ok(Told::Transferred { balance: 40 }));
        one_place.pay(10, 1, Ok(Told::Transferred { balance: 30 }));
        one_place.refused_for("one place");

        let mut twice = Story::new();
        twice.pay(60, 1, Ok(Told::Transferred { balance: 40 }));
        twice.pay(10, 2, Ok(Told::Transferred { balance: 30 }));
        twice.outcomes[2].transaction.sequence = 1;
        twice.refused_for("one sequence");

        let mut forked = Story::new();
        forked.pay(60, 1, Ok(Told::Transferred { balance: 40 }));
        forked.pay(10, 2, Ok(Told::Transferred { balance: 30 }));
        let other = LedgerEntry { time: 77, ..forked.outcomes[1].proven.entries[0] };
        forked.outcomes[2].proven.entries.push(other);
        forked.refused_for("two ledgers");

        let mut back_in_time = Story::new();
        back_in_time.pay(60, 3, Ok(Told::Transferred { balance: 30 }));
        back_in_time.pay(10, 2, Ok(Told::Transferred { balance: 90 }));
        back_in_time.refused_for("stands after it");
    }
}
