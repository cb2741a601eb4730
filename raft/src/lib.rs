//! Raft as a pure engine, for committees whose replicas crash and do not lie.
//!
//! Ongaro, *Consensus: Bridging Theory and Practice* (dissertation, Stanford 2014; "the dissertation", with its sections), which
//! extends Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (USENIX ATC 2014; "the paper").
//!
//! # The protocol
//!
//! n replicas, at most f = ⌊(n−1)/2⌋ of them crashed; a quorum is a majority. Time is divided into *views* (the paper's terms).
//! A view has at most one *leader*, whom a majority has voted for. It alone adds *entries* to the *log*: a block at a height, made in
//! the leader's view, which is in the block's header. It sends them to the others, who acknowledge what is on their disks. What a majority
//! has on disk is *committed*, once an entry of the leader's own view is among it.
//!
//! **Election** (3.4, 3.6). A replica that has not heard from a leader for a timeout asks for votes in the next view. A vote is given once
//! a view, on disk before it is said, and only to a replica whose log is at least as up to date as the voter's
//! ([`rules::is_up_to_date`]). Timeouts are drawn at random between one and two `view_timeout_ms`.
//!
//! **Pre-vote** (9.6). Before it enters a view, a candidate asks whether it would be voted for, so that a replica that was cut off
//! does not end the view of a leader that works. **Check-quorum** (6.2): a leader that a majority does not answer for a timeout leads no
//! more; a replica that hears from its leader votes for nobody (4.2.3). After a start it waits a timeout before it votes: it may have
//! heard from a leader right before.
//!
//! **Replication** (3.5). An append names the entry that its own follow on. A follower that has another one there refuses, and says where
//! the logs may agree at best, so that one answer passes over a view and not an entry. Entries are sent as they are made, without waiting
//! for answers; to a follower whose log is not known to agree, one message at a time. Heartbeats say what is committed;
//! a follower believes it of what it knows to be in the leader's log.
//!
//! **Commit** (3.6.2, [`rules::committable`]). Entries of earlier views are committed only by one of the leader's own above them, so each leader
//! begins with an empty block.
//!
//! **Transfer** (3.10). A leader that stops asks the follower with the longest log to be elected at once.
//!
//! **Reads** (6.4). Who is asked for a read asks the leader for its committed height, which the leader tells once it knows that it still led
//! after it was asked: a majority has answered a later heartbeat, or, where the configuration bounds the drift of clocks, the last one answered
//! is so recent that nobody else can have been elected (the lease, 6.4.1).
//!
//! # Deviations from the dissertation
//!
//! - *The log begins at a checkpoint certificate*, and what is below it is caught up with by the host: block sync and state transfer take the
//!   place of InstallSnapshot. The certificate's block header has the view that the log needs.
//! - *A heartbeat is a message of its own*, and its answer waits for no disk: a slow disk costs no leader its office.
//! - *A request for votes waits for the disk*, because it tells of the candidate's log.
//! - *An entry may travel without its body*, by its digest: what is committed is not held in memory, and a follower that needs it fetches
//!   it from the leader's log.
//! - *Learners* receive everything, acknowledge nothing, and are counted nowhere.

mod election;
mod engine;
mod invariants;
mod log;
mod message;
mod reads;
mod record;
mod recovery;
mod replication;
pub mod rules;
mod timing;

pub use engine::{Raft, Timer};
pub use log::Position;
pub use message::{Alive, Append, Ask, Carried, Heartbeat, Message, Refusal, Vote};
pub use record::Record;
