//! Chained HotStuff as a pure engine, with the three-chain rule of the paper and the two-chain rule of its successors.
//!
//! Yin, Malkhi, Reiter, Golan Gueta and Abraham, *HotStuff: BFT Consensus with Linearity and Responsiveness* (PODC 2019; "the
//! paper", with its algorithms and lines). Gelashvili, Kokoris-Kogias, Sonnino, Spiegelman and Xiang, *Jolteon and Ditto* (FC
//! 2022; "Jolteon") for the two-chain rule; Malkhi and Nayak, *HotStuff-2* (2023), has the same rule.
//!
//! # The protocol
//!
//! n replicas, at most f = ⌊(n−1)/3⌋ of them faulty; a quorum is ⌊(n+f)/2⌋ + 1. In each *view* one leader proposes at most one
//! *node* (the paper's word): a block at a height, and the node that it extends, which is the one that the proposal's *quorum
//! certificate* (QC) certifies. Nodes form a tree. A replica that accepts the proposal stores the block, and sends a *vote* to the leader
//! of the next view. A quorum of votes combines to the node's QC, with which the next node is proposed at once. There is one kind of
//! vote: a QC of a node is at the same time a later phase for its ancestors (the paper's section 5).
//!
//! **Commit.** *Three-chain* (the paper's algorithm 3): a QC of a node whose parent and grandparent are of the two views right
//! before commits the grandparent. *Two-chain* (Jolteon, figure 2): a QC of a node whose parent is of the view right before commits
//! the parent. In both cases all ancestors with it.
//!
//! **Vote** ([`rules::may_vote`]). Views only grow. With three chains a replica is *locked* on the parent of the highest certified node
//! it knows of, and votes only for what extends a node of the lock's view or a later one. With two chains it votes for a proposal whose
//! QC is of the view right before; or one that begins a view with a *timeout certificate* (TC), and then only if its QC
//! is no lower than any that the TC reports.
//!
//! **Tenures.** A leader leads `tenure_views` consecutive views, because a three-chain needs four consecutive views of honest leaders:
//! with a new leader each view, one silent replica of four stops all progress. Tenure t is led by replica t mod n.
//!
//! **Pacemaker.** A QC of view v begins view v+1. A replica that has waited too long signs a *timeout* for the last view of
//! the tenure: it will not vote in the tenure any more, and this is the view of its highest QC. It goes to the next tenure's
//! leader alone, so that a view change costs n messages each way; to everybody only when the TC has not come after a further
//! delay. A quorum of timeouts makes a TC, which begins the next tenure. f+1 timeouts are joined.
//!
//! # Why it is safe
//!
//! Two quorums share an honest replica, which votes once a view and remembers that on disk; so a view has one certified node at most. Let
//! b of view v be committed. *Three chains*: a quorum voted for a node two views on, and each honest one of it was locked on b by then. The first
//! certified node after v that does not extend b would need the vote of one of these; its parent is certified in an earlier view, so
//! before v, below the lock (the paper's theorem 2). *Two chains*: a quorum voted in v+1, and knew b's QC. The first certified
//! node that does not extend b has a parent before v, so it came with a TC; among its signers is an honest one of that quorum. It voted in v+1
//! before it timed out, since it never votes in or below a view that it timed out in; so the TC reports v or higher, and the vote rule forbids
//! it (Jolteon, lemma 2).
//!
//! # Deviations from the papers
//!
//! - *No dummy nodes.* The paper fills views without a node with empty ones, so that "parent" implies "view before". Here nodes name their
//!   view and their parent's, and the rules compare views.
//! - *The parent is the certified node*, so that a lock compares views only: what extends a certified node of a view at or
//!   above the lock's extends the locked node (the paper's safety rule and liveness rule at once).
//! - *A timeout is for a whole tenure*: it is Jolteon's timeout for the tenure's last view.
//! - *A QC carries the header of its node*, so that a replica that missed a proposal still knows what to lock, and may vote.
//! - *A proposal carries the leader's own vote*, as its seal.
//! - *Votes at the end of a tenure* go to both leaders, so that a next leader that keeps the QC to itself hides nothing.
//! - *Empty blocks* are proposed only to flush: while what is certified above the last committed node holds transactions, or is to be
//!   checkpointed. Then the QC alone is sent round, and an idle network is silent.

mod agreement;
mod engine;
mod invariants;
mod message;
mod pacemaker;
mod record;
mod recovery;
mod resend;
pub mod rules;
mod timing;
mod tree;

pub use engine::{HotStuff, Timer};
pub use message::{Message, Node, Proposal, Qc, Status, TIMEOUT, Tc, Timeout, VOTE};
pub use record::{Ballot, Left, Record};
