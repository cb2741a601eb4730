//! Transactions on their way: bounded in bytes, fair between organisations, each held once.
//!
//! A transaction leaves the pool only when it is executed. While it is part of a proposal it is not offered again; if
//! that proposal is abandoned it goes back to the front of its organisation's queue.

use crate::transaction::{Item, ItemKey};
use crate::types::{Height, Time};
use crate::unordered::Unordered;
use crypto::{Digest, ReplicaId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// An organisation, by its place in the genesis.
pub type Organisation = u16;

/// Bookkeeping per transaction, in bytes, counted against the bound.
const ENTRY_OVERHEAD: usize = 256;

/// Why the pool does not take a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Under this client and sequence the pool holds a transaction already.
    #[error("a transaction of this client and sequence is waiting already")]
    Held,
    /// The organisation's share of the pool is used up.
    #[error(
        "the organisation's share of the pool is used up; try again when its transactions have committed"
    )]
    Full,
    /// The organisation's transactions wait too long already.
    #[error("the organisation's transactions have waited {0:?}; try again later")]
    Late(Duration),
}

#[derive(Debug)]
struct Entry {
    item: Item,
    organisation: Organisation,
    arrived: Time,
    /// Since when it waits to be taken by the leader, or to be looked at again.
    looked: Time,
    /// Whether a client gave it to this replica: then this replica forwards it.
    local: bool,
    /// To whom it was forwarded: a bit for each replica.
    told: u128,
    /// Whether it stands in its queue. Invariant: `ready_bytes` is the sum over these.
    ready: bool,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<ItemKey>,
    bytes: usize,
    arrivals: VecDeque<(Time, ItemKey)>,
}

/// The transactions of one proposal.
#[derive(Debug)]
struct Parked {
    block: Digest,
    keys: Vec<ItemKey>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Pool {
    entries: Unordered<ItemKey, Entry>,
    queues: BTreeMap<Organisation, Queue>,
    /// Proposals seen and not executed, by height.
    parked: BTreeMap<Height, Vec<Parked>>,
    /// Where the next payload starts taking turns.
    turn: Organisation,
    ready_bytes: usize,
    /// Transactions that everybody will hear of unless they are taken or execute, and since when they wait for it.
    unspread: VecDeque<(Time, ItemKey)>,
    quota_bytes: usize,
    late: Duration,
}

impl Pool {
    /// A pool of `bytes`, shared evenly by `organisations`; an organisation whose oldest transaction has waited `late` has to
    /// wait before it adds another.
    pub fn new(bytes: usize, organisations: usize, late: Duration) -> Pool {
        Pool {
            entries: Unordered::default(),
            queues: BTreeMap::new(),
            parked: BTreeMap::new(),
            turn: 0,
            ready_bytes: 0,
            unspread: VecDeque::new(),
            quota_bytes: bytes / organisations.max(1),
            late,
        }
    }

    /// Takes a transaction in. One that came from another replica is exempt from the lateness rule: its first
    /// replica has applied it.
    ///
    /// # Errors
    /// Why it does not.
    pub fn add(
        &mut self,
        now: Time,
        item: Item,
        organisation: Organisation,
        local: bool,
    ) -> Result<(), Refused> {
        let key = item.key();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.local |= local;
            return Err(Refused::Held);
        }
        let size = item.transaction.size() + ENTRY_OVERHEAD;
        let waited = self.oldest_of(organisation).map_or(Duration::ZERO, |oldest| now.since(oldest));
        let queue = self.queues.entry(organisation).or_default();
        if queue.bytes + size > self.quota_bytes {
            return Err(Refused::Full);
        }
        if local && waited > self.late {
            return Err(Refused::Late(waited));
        }
        queue.bytes += size;
        queue.ready.push_back(key);
        queue.arrivals.push_back((now, key));
        self.unspread.push_back((now, key));
        self.ready_bytes += item.transaction.size();
        self.entries.insert(
            key,
            Entry { item, organisation, arrived: now, looked: now, local, told: 0, ready: true },
        );
        Ok(())
    }

    /// Since when the organisation's oldest transaction waits.
    fn oldest_of(&mut self, organisation: Organisation) -> Option<Time> {
        let queue = self.queues.get_mut(&organisation)?;
        while let Some((arrived, key)) = queue.arrivals.front() {
            if self.entries.get(key).is_some_and(|entry| entry.arrived == *arrived) {
                return Some(*arrived);
            }
            queue.arrivals.pop_front();
        }
        None
    }

    /// Since when the oldest transaction waits.
    pub fn oldest(&mut self) -> Option<Time> {
        let organisations: Vec<Organisation> = self.queues.keys().copied().collect();
        organisations.into_iter().filter_map(|organisation| self.oldest_of(organisation)).min()
    }

    /// Transactions held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of what could be proposed.
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Takes transactions for a payload of at most `bytes`, the organisations taking turns. Give them back with
    /// [`Pool::put_back`] or say with [`Pool::proposed`] in which block they went.
    pub fn take(&mut self, bytes: usize) -> Vec<Item> {
        let mut taken = Vec::new();
        let mut room = bytes;
        let mut order: Vec<Organisation> = self.queues.keys().copied().collect();
        let start = order.iter().position(|organisation| *organisation >= self.turn).unwrap_or(0);
        order.rotate_left(start);
        while !order.is_empty() {
            order.retain(|organisation| {
                let Some(queue) = self.queues.get_mut(organisation) else { return false };
                while let Some(key) = queue.ready.pop_front() {
                    let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.ready) else {
                        continue;
                    };
                    let size = entry.item.transaction.size();
                    if size > room {
                        queue.ready.push_front(key);
                        return false;
                    }
                    room -= size;
                    entry.ready = false;
                    self.ready_bytes -= size;
                    taken.push(entry.item.clone());
                    self.turn = organisation.wrapping_add(1);
                    return true;
                }
                false
            });
        }
        taken
    }

    /// Returns transactions that no block took to the front of the queues.
    pub fn put_back(&mut self, keys: impl DoubleEndedIterator<Item = ItemKey>) {
        for key in keys.rev() {
            if let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.ready) {
                entry.ready = true;
                self.ready_bytes += entry.item.transaction.size();
                self.queues.entry(entry.organisation).or_default().ready.push_front(key);
            }
        }
    }

    /// The transactions of a proposal at `height` are not offered until it is executed or abandoned.
    pub fn proposed(&mut self, height: Height, block: Digest, keys: impl Iterator<Item = ItemKey>) {
        let parked = self.parked.entry(height).or_default();
        if parked.iter().any(|other| other.block == block) {
            return;
        }
        let keys: Vec<ItemKey> = keys.filter(|key| self.entries.contains(key)).collect();
        parked.push(Parked { block, keys });
    }

    /// Everything in the proposals `uncommitted`.
    fn parked_in(&self, uncommitted: &[Digest]) -> BTreeSet<ItemKey> {
        let parked = self.parked.values().flatten();
        parked.filter(|p| uncommitted.contains(&p.block)).flat_map(|p| p.keys.iter().copied()).collect()
    }

    /// Makes ready exactly what is in none of the proposals `uncommitted`: called by a leader that starts to propose.
    pub fn refresh(&mut self, uncommitted: &[Digest]) {
        let parked = self.parked_in(uncommitted);
        self.ready_bytes = 0;
        for queue in self.queues.values_mut() {
            queue.ready.clear();
            for (arrived, key) in &queue.arrivals {
                let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.arrived == *arrived) else {
                    continue;
                };
                entry.ready = !parked.contains(key);
                if entry.ready {
                    self.ready_bytes += entry.item.transaction.size();
                    queue.ready.push_back(*key);
                }
            }
        }
    }

    /// Forgets transactions that executed at `height`, and what was proposed up to there.
    pub fn executed(&mut self, height: Height, keys: impl Iterator<Item = ItemKey>) {
        for key in keys {
            if let Some(entry) = self.entries.remove(&key) {
                let size = entry.item.transaction.size();
                let queue = self.queues.entry(entry.organisation).or_default();
                queue.bytes -= size + ENTRY_OVERHEAD;
                self.ready_bytes -= if entry.ready { size } else { 0 };
            }
        }
        for queue in self.queues.values_mut() {
            while queue
                .ready
                .front()
                .is_some_and(|key| self.entries.get(key).is_none_or(|entry| !entry.ready))
            {
                queue.ready.pop_front();
            }
        }
        let later = self.parked.split_off(&(height + 1));
        let done = std::mem::replace(&mut self.parked, later);
        for parked in done.into_values().flatten() {
            self.put_back(parked.keys.into_iter());
        }
    }

    /// Keeps the transactions that `keep` says; gives the keys of the others.
    pub fn retain(&mut self, keep: impl Fn(&Item) -> bool) -> Vec<ItemKey> {
        let gone = self.entries.chosen(|_, entry| !keep(&entry.item));
        let gone: Vec<ItemKey> = gone.into_iter().map(|entry| entry.item.key()).collect();
        self.executed(0, gone.iter().copied());
        gone
    }

    /// Clones of the transactions that clients gave to this replica and that a new leader may have to hear of. Where its turn has
    /// come `in_turn`, those that are in no proposal; where the one before failed, all, whoever was told before.
    pub fn local(&mut self, in_turn: bool) -> Vec<Item> {
        let parked: BTreeSet<ItemKey> = if in_turn {
            self.parked.values().flatten().flat_map(|parked| parked.keys.iter().copied()).collect()
        } else {
            self.entries.each(|entry| entry.told = 0);
            BTreeSet::new()
        };
        let local = self.entries.chosen(|key, entry| entry.local && !parked.contains(key));
        local.into_iter().map(|entry| entry.item.clone()).collect()
    }

    /// Those of `items` that `to` was not told of yet; now it is.
    pub fn tell(&mut self, to: ReplicaId, items: &[Item]) -> Vec<Item> {
        let bit = 1 << to.0;
        let mut untold = Vec::new();
        for item in items {
            if let Some(entry) = self.entries.get_mut(&item.key()).filter(|entry| entry.told & bit == 0) {
                entry.told |= bit;
                untold.push(item.clone());
            }
        }
        untold
    }

    /// Takes the transactions that have waited for `patience` or longer, each once: the leader does not take them, so everybody has
    /// to hear of them. One that leads takes them itself, and looks again later, when it may not lead any more.
    pub fn overdue(&mut self, now: Time, patience: Duration, leads: bool) -> Vec<Item> {
        let mut overdue = Vec::new();
        while let Some((since, key)) = self.unspread.pop_front_if(|(since, _)| now.since(*since) >= patience)
        {
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.looked == since) else {
                continue;
            };
            if leads {
                entry.looked = now;
                self.unspread.push_back((now, key));
            } else {
                overdue.push(entry.item.clone());
            }
        }
        overdue
    }

    /// Since when the first transaction waits that [`Pool::overdue`] looks at.
    pub fn next_overdue(&self) -> Option<Time> {
        self.unspread.front().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::{Kind, Transaction};
    use bytes::Bytes;
    use crypto::{ClientKey, Signature};

    const LATE: Duration = Duration::from_secs(1);

    fn item(client: u8, sequence: u64) -> Item {
        let transaction = Transaction {
            kind: Kind::Application,
            client: ClientKey([client; 32]),
            sequence,
            body: Bytes::from(vec![0; 100]),
            signature: Signature([0; 64]),
        };
        Item::new(&Digest::ZERO, transaction)
    }

    fn keys(items: &[Item]) -> Vec<(u8, u64)> {
        items.iter().map(|item| (item.transaction.client.0[0], item.transaction.sequence)).collect()
    }

    #[test]
    fn organisations_take_turns_whatever_one_of_them_submits() {
        let mut pool = Pool::new(1 << 20, 2, LATE);
        for sequence in 1..=10 {
            pool.add(Time(0), item(1, sequence), 0, true).unwrap();
        }
        pool.add(Time(0), item(2, 1), 1, true).unwrap();
        assert_eq!(keys(&pool.take(4 * 209)), [(1, 1), (2, 1), (1, 2), (1, 3)]);
        assert_eq!(keys(&pool.take(209)), [(1, 4)]);
    }

    #[test]
    fn threat_91_a_flood_fills_its_own_share_only() {
        let mut pool = Pool::new(2 * 10 * (209 + ENTRY_OVERHEAD), 2, LATE);
        let accepted = (1..100).filter(|n| pool.add(Time(0), item(1, *n), 0, true).is_ok()).count();
        assert_eq!(accepted, 10);
        assert_eq!(pool.add(Time(0), item(1, 100), 0, true), Err(Refused::Full));
        assert_eq!(pool.add(Time(0), item(2, 1), 1, true), Ok(()));
        pool.executed(1, [item(1, 1).key()].into_iter());
        assert_eq!(pool.add(Time(0), item(1, 100), 0, true), Ok(()));
    }

    #[test]
    fn whoever_waits_long_already_has_to_wait_before_adding_more() {
        let mut pool = Pool::new(1 << 20, 2, LATE);
        let later = Time(0) + 2 * LATE;
        pool.add(Time(0), item(1, 1), 0, true).unwrap();
        assert_eq!(pool.add(later, item(1, 2), 0, true), Err(Refused::Late(2 * LATE)));
        assert_eq!(pool.add(later, item(2, 1), 1, true), Ok(()));
        assert_eq!(pool.oldest(), Some(Time(0)));
        pool.executed(1, [item(1, 1).key()].into_iter());
        assert_eq!(pool.oldest(), Some(later));
        assert_eq!(pool.add(later, item(1, 2), 0, true), Ok(()));
    }

    #[test]
    fn an_abandoned_proposal_s_transactions_come_back_in_front() {
        let mut pool = Pool::new(1 << 20, 1, LATE);
        for sequence in 1..=4 {
            pool.add(Time(0), item(1, sequence), 0, true).unwrap();
        }
        let taken = pool.take(2 * 209);
        pool.proposed(7, Digest([7; 32]), taken.iter().map(Item::key));
        assert_eq!(pool.ready_bytes(), 2 * 209);
        // Height 7 is decided otherwise: with nothing of it.
        pool.executed(7, std::iter::empty());
        assert_eq!(keys(&pool.take(9999)), [(1, 1), (1, 2), (1, 3), (1, 4)]);
        assert_eq!(pool.ready_bytes(), 0);
        pool.refresh(&[]);
        assert_eq!(pool.take(9999).len(), 4);
    }

    #[test]
    fn a_new_leader_offers_what_no_open_proposal_has() {
        let mut pool = Pool::new(1 << 20, 1, LATE);
        for sequence in 1..=3 {
            pool.add(Time(0), item(1, sequence), 0, false).unwrap();
        }
        pool.proposed(1, Digest([1; 32]), [item(1, 1).key()].into_iter());
        pool.proposed(2, Digest([2; 32]), [item(1, 2).key()].into_iter());
        pool.refresh(&[Digest([1; 32])]);
        assert_eq!(keys(&pool.take(9999)), [(1, 2), (1, 3)]);
        assert_eq!(pool.local(false), vec![]);
    }

    #[test]
    fn everybody_hears_once_of_what_the_leader_does_not_take() {
        let mut pool = Pool::new(1 << 20, 1, LATE);
        for sequence in 1..=3 {
            pool.add(Time(sequence), item(1, sequence), 0, false).unwrap();
        }
        let patience = Duration::from_nanos(10);
        assert_eq!(keys(&pool.overdue(Time(11), patience, false)), [(1, 1)]);
        assert_eq!(keys(&pool.overdue(Time(12), patience, true)), []);
        assert_eq!(keys(&pool.overdue(Time(13), patience, false)), [(1, 3)]);
        // The second one was looked at by a leader, and is looked at again a while after that.
        assert_eq!(pool.next_overdue(), Some(Time(12)));
        assert_eq!(keys(&pool.overdue(Time(22), patience, false)), [(1, 2)]);
        // What has executed is forgotten by a leader too.
        pool.add(Time(30), item(1, 4), 0, false).unwrap();
        pool.executed(1, [item(1, 4).key()].into_iter());
        assert_eq!(keys(&pool.overdue(Time(40), patience, true)), []);
        assert_eq!(pool.next_overdue(), None);
    }

    #[test]
    fn a_leader_in_turn_is_told_what_nobody_proposed_and_each_replica_once_until_one_fails() {
        let mut pool = Pool::new(1 << 20, 1, LATE);
        for sequence in 1..=3 {
            pool.add(Time(0), item(1, sequence), 0, sequence != 3).unwrap();
        }
        let (next, other) = (ReplicaId(1), ReplicaId(127));
        let local = pool.local(true);
        assert_eq!(keys(&local), [(1, 1), (1, 2)], "the others' are theirs to forward");
        assert_eq!(keys(&pool.tell(next, &local[..1])), [(1, 1)]);
        assert_eq!(keys(&pool.tell(next, &local)), [(1, 2)]);
        assert_eq!(keys(&pool.tell(other, &local)), [(1, 1), (1, 2)]);
        pool.proposed(1, Digest::ZERO, local[..1].iter().map(Item::key));
        assert_eq!(keys(&pool.local(true)), [(1, 2)]);
        let all = pool.local(false);
        assert_eq!(
            keys(&pool.tell(next, &all)),
            [(1, 1), (1, 2)],
            "a leader failed, and with it what it was told"
        );
    }
}
