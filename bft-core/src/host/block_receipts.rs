//! The receipts of a block, and the answers made of them.

use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::mutants::Mutant;
use crate::receipt::{Answered, ProvenReceipt, Receipt, ReceiptBatch};
use crate::request::{Answer, Reply};
use crate::transaction::ItemKey;
use crypto::merkle;
use serde::{Deserialize, Serialize};

/// What a block left, as it is kept and stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BlockReceipts {
    pub entry: LedgerEntry,
    pub receipts: Vec<(ItemKey, Receipt)>,
}

/// The tree over receipts.
pub(super) fn tree(receipts: &[(ItemKey, Receipt)]) -> merkle::Tree {
    merkle::Tree::new(receipts.iter().map(|(_, receipt)| receipt.leaf()).collect())
}

impl BlockReceipts {
    pub fn tree(&self) -> merkle::Tree {
        tree(&self.receipts)
    }

    /// Answers questions, of each the id and the place, in ascending order of places, under the tree over these receipts. The proof: the entries
    /// from this block's to the certified one, and the certificate.
    pub fn answer(
        &self,
        questions: &[(u64, u32)],
        tree: &merkle::Tree,
        (entries, certificate): (Vec<LedgerEntry>, &CheckpointCertificate),
    ) -> Vec<Reply> {
        let count = self.receipts.len() as u64;
        let answered = |(id, index): &(u64, u32)| {
            let (_, receipt) = self.receipts.get(*index as usize)?;
            Some(Answered { id: *id, index: u64::from(*index), receipt: receipt.clone() })
        };
        let place = |answered: &Answered| usize::try_from(answered.index).expect("it is in the block");
        let single = |answered: Answered| {
            let path = tree.proof(if Mutant::ReceiptPath.is_on() { 0 } else { place(&answered) });
            let Answered { id, index, receipt } = answered;
            let (entries, certificate) = (entries.clone(), CheckpointCertificate::clone(certificate));
            let proven = ProvenReceipt { receipt, index, count, path, entries, certificate };
            Reply { id, answer: Answer::Receipt(Box::new(proven)) }
        };
        let mut replies = Vec::new();
        for mut receipts in batches(questions.iter().filter_map(answered), entries.len()) {
            if receipts.len() == 1 {
                replies.extend(receipts.pop().map(single));
                continue;
            }
            let places: Vec<usize> = receipts.iter().map(place).collect();
            let siblings = tree.siblings(if Mutant::ReceiptPath.is_on() { &[0] } else { &places });
            let (entries, certificate) = (entries.clone(), CheckpointCertificate::clone(certificate));
            let batch = ReceiptBatch { receipts, count, siblings, entries, certificate };
            replies.push(Reply { id: 0, answer: Answer::Receipts(Box::new(batch)) });
        }
        replies
    }
}

/// Puts receipts into as few batches as their bounds allow, each place once in a batch.
fn batches(receipts: impl Iterator<Item = Answered>, entries: usize) -> Vec<Vec<Answered>> {
    let mut batches: Vec<Vec<Answered>> = Vec::new();
    let mut bytes = 0;
    for answered in receipts {
        let more = answered.receipt.answer.len();
        let fits = |batch: &&mut Vec<Answered>| {
            entries <= ReceiptBatch::ENTRIES
                && batch.len() < ReceiptBatch::RECEIPTS
                && bytes + more <= ReceiptBatch::ANSWER_BYTES
                && batch.last().is_some_and(|last| last.index < answered.index)
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => {
                bytes += more;
                batch.push(answered);
            }
            None => {
                bytes = more;
                batches.push(vec![answered]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::Digest;

    #[test]
    fn batches_keep_their_bounds_and_no_place_is_in_one_twice() {
        let answered = |index: u64, bytes: usize| {
            let receipt = Receipt { transaction: Digest::ZERO, code: 0, answer: vec![7; bytes].into() };
            Answered { id: index, index, receipt }
        };
        let sizes = |receipts: Vec<Answered>, entries: usize| -> Vec<usize> {
            batches(receipts.into_iter(), entries).iter().map(Vec::len).collect()
        };
        let small = || (0..600).map(|index| answered(index, 10)).collect::<Vec<_>>();
        assert_eq!(sizes(small(), 1), [256, 256, 88]);
        assert_eq!(sizes(small(), ReceiptBatch::ENTRIES + 1), [1; 600]);
        // What is too long for a batch travels alone, first or last.
        let (long, half) = (ReceiptBatch::ANSWER_BYTES + 1, ReceiptBatch::ANSWER_BYTES / 2);
        let lengths = [long, 1, 1, long, half, half, 1];
        let receipts = lengths.iter().enumerate().map(|(index, bytes)| answered(index as u64, *bytes));
        assert_eq!(sizes(receipts.collect(), 1), [1, 2, 1, 2, 1]);
        assert_eq!(sizes(vec![answered(3, 1), answered(3, 1), answered(4, 1)], 1), [1, 2]);
    }
}
