//! From records to a running engine.

use crate::engine::{Out, Raft, Role};
use crate::log::{Entry, Log, Position};
use crate::reads::Reads;
use crate::record::Record;
use crate::timing::{Timing, random};
use bft_core::block::Block;
use bft_core::engine::{EngineConfig, Output, Start};
use bft_core::types::Time;
use crypto::Digest;
use std::collections::BTreeMap;

impl Raft {
    pub(crate) fn start(config: EngineConfig, start: Start<Raft>, now: Time, out: &mut Out) -> Raft {
        let Start { tip, tip_header, stable, records, blocks } = start;
        let mut engine = Raft {
            config,
            view: 0,
            voted: None,
            role: Role::Follower,
            leader: None,
            log: Log::on(Position::default()),
            committed: tip.height,
            executed: tip.height,
            stable: stable.height(),
            agreed: 0,
            fetched: BTreeMap::new(),
            reads: Reads::default(),
            timing: Timing { heard: now, ..Timing::default() },
            random: random(config.seed, config.me),
            wanted: None,
            tokens: 0,
        };
        let blocks: BTreeMap<Digest, Block> =
            blocks.into_iter().map(|block| (block.digest(), block)).collect();
        for record in records {
            engine.restore(record, &blocks);
        }
        // What was executed is committed, whatever the log has in its place; block sync leaves no records.
        let executed = tip_header.as_ref().map(Position::of).unwrap_or_default();
        if executed.height > engine.log.base().height && !engine.log.has(executed) {
            engine.log = Log::on(executed);
            out.push(Output::Persist { record: Some(Record::Base { position: executed }), block: None });
        }
        let stable = engine.stable.min(engine.log.last().height);
        if stable > engine.log.base().height {
            engine.log.compact(stable);
        }
        engine.committed = engine.committed.max(engine.log.base().height);
        engine.agreed = engine.known_to_agree();
        for (height, entry) in engine.log.from(engine.committed + 1) {
            assert!(entry.body.is_some(), "a record implies a durable block, at height {height}");
        }
        let last = engine.log.last().view;
        if last > engine.view {
            // Block sync brought an entry of a view in which this replica has not voted.
            (engine.view, engine.voted) = (last, None);
        }
        engine.wait_for_leader(now);
        engine.set_timers(now, out);
        engine
    }

    fn restore(&mut self, record: Record, blocks: &BTreeMap<Digest, Block>) {
        match record {
            Record::View { view, voted } => (self.view, self.voted) = (view, voted),
            // Said again at the head of a segment, of which a crash may have left a part: what follows it stays.
            Record::Entry { position, .. } if self.log.has(position) => {}
            Record::Entry { position: Position { view, height }, block } => {
                if height > self.log.base().height && height <= self.log.last().height + 1 {
                    self.log.truncate(height);
                    let body = blocks.get(&block).filter(|_| height > self.executed).cloned();
                    self.log.push(Entry { view, block, body });
                }
            }
            Record::Base { position } if self.log.has(position) => self.log.compact(position.height),
            Record::Base { position } => self.log = Log::on(position),
        }
    }
}
