//! Practical Byzantine Fault Tolerance as a pure engine.
//!
//! Castro and Liskov, *Practical Byzantine Fault Tolerance* (OSDI 1999; "the paper", with section numbers of it), the variant
//! with signatures, over a window of heights in parallel.
//!
//! # The protocol
//!
//! n replicas, at most f = ⌊(n−1)/3⌋ of them faulty; a quorum is ⌊(n+f)/2⌋ + 1. Views are numbered from 0; the leader of
//! view v is replica v mod n.
//!
//! **Normal case** (4.2). The leader assigns the next height to a block and sends a *pre-prepare*. A replica that accepts it (right
//! view, inside the window, no other block accepted for this view and height) stores the block and sends *prepare* to all. With
//! a quorum of prepares it holds a *prepared certificate*, stores it and sends *commit* to all. A quorum of commits commits the
//! block; blocks are executed in height order.
//!
//! **View change** (4.4). A replica whose oldest transaction or proposal has waited longer than the view's timeout stops taking
//! part in view v and sends *view-change* for v+1: its stable checkpoint and, for every height above it, the prepared certificate of
//! the highest view it holds. With a quorum of these, the leader of v+1 sends *new-view*, which names them; everybody computes
//! the same plan from them ([`rules::plan`]): at each height from the highest stable checkpoint to the highest prepared
//! height, the block prepared in the highest view, or a null block where none was. The planned blocks are agreed on again
//! in the new view, then the leader goes on above them.
//!
//! **Liveness** (4.5.2). A replica that sees f+1 others in higher views joins the highest view that f+1 of them reached. With a quorum of
//! view-changes for its view it waits one timeout for the new-view, then moves on; the timeout doubles with every view that
//! fails, and falls back once everything that waited when the view began has been executed.
//!
//! # Why it is safe
//!
//! Two quorums share an honest replica. It prepares one block per view and height, and remembers that on disk before it says
//! so; so at most one block can have a prepared certificate in a view at a height. If a block committed in view v, a quorum sent commit, and
//! every quorum of view-changes for a later view contains one from an honest replica of that quorum, which carries the
//! certificate. By induction no later view's plan names another block (the paper's section 4.6; Castro's thesis, section 2.4).
//!
//! # Deviations from the paper
//!
//! - *Certificates*. The paper's view-change carries 2f+1 signed prepares per height; here prepares carry shares of a threshold
//!   signature and a replica counts itself as prepared only when the combined certificate has been verified. Shares are
//!   bound to the channel they came on; a bad one cannot make a replica believe that it is prepared.
//! - *The leader's prepare* rides in its pre-prepare, so a quorum of prepares includes the leader's. The paper counts 2f prepares
//!   and the pre-prepare.
//! - *Commits are enough*. A quorum of commits commits a block also at a replica that has not prepared it: f+1 honest replicas have,
//!   which is all that safety needs. The block is fetched if it is missing.
//! - *Collected votes* (`VoteRouting::Collector`, a choice of the genesis). Prepares and commits go to the leader, which combines a quorum of each and
//!   sends the certificate to all: 5 (n−1) messages a block in place of 2 n (n−1), and two delays more. The collector
//!   of SBFT (Gueta and others, DSN 2019, section V), without its fast path. A certificate counts as the quorum of votes in it, so that
//!   nothing else changes; whoever waits too long asks for the votes themselves.
//! - *A missing pre-prepare* is replaced by f+1 equal prepares and the fetched block: one honest replica has accepted it
//!   from the leader.
//! - *New-view names view-changes by digest* instead of carrying them, and carries no pre-prepares: the plan follows.
//!   Missing view-changes are fetched.
//! - *Join rule*. The paper joins the smallest view among f+1 higher ones; this engine joins the highest view that f+1
//!   replicas have reached, which is at least as high and still has an honest replica behind it.
//! - *Checkpoints* are the host's: a certificate over a ledger entry takes the place of 2f+1 checkpoint messages. No replica
//!   votes above min(executed + window, stable + 2·window).
//! - *Per-transaction timers*. The timer runs for the oldest transaction that waits, not for any; a leader that starves one client
//!   is replaced (the host spreads a transaction to all replicas when the leader does not take it).
//! - *Who has to catch up suspects nobody.* While a checkpoint certificate above its own height is known to a replica, its timer starts
//!   again instead of ending the view: what it waits for was decided without it. It still joins f+1 others.
//! - *Retransmission* follows the paper's status messages (4.5.2 of the thesis): while something waits, a replica says how far it
//!   is, and others send again what it lacks. An idle network is silent.

mod agreement;
mod collector;
mod engine;
mod invariants;
mod message;
mod mutants;
mod record;
mod recovery;
mod resend;
pub mod rules;
mod slot;
mod timing;
mod view_change;

pub use engine::{Pbft, Timer};
pub use message::{
    COMMIT, Committed, Message, NEW_VIEW, NewView, PREPARE, PrePrepare, Prepared, Relay, Status, VIEW_CHANGE,
    ViewChange, Vote,
};
pub use record::{NewViewProof, Record, SignedViewChange};
