//! Rules broken on purpose, to see that the simulator notices.
//!
//! The feature `mutants` is for the simulator alone. Without it [`Mutant::is_on`] is a constant `false`, and the compiler leaves
//! no trace of any mutant. Rules of the engine and the host are broken where they stand; those of the disk, the start and the
//! edge are broken by the simulator (`sim/src/mutants.rs`), which carries out what the host wants.

macro_rules! mutants {
    ($($mutant:ident, $name:literal, $breaks:literal;)*) => {
        /// One rule that is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $(
                #[doc = $breaks]
                $mutant,
            )*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$mutant),*];

            /// What it is called on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Mutant::$mutant => $name,)*
                }
            }

            /// What is wrong with it on.
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Mutant::$mutant => $breaks,)*
                }
            }
        }
    };
}

mutants! {
    PrepareQuorum, "prepare-quorum", "One prepare fewer than a quorum makes a prepared certificate.";
    CommitQuorum, "commit-quorum", "One commit fewer than a quorum decides.";
    ViewChangeQuorum, "view-change-quorum", "One view-change fewer than a quorum begins a view.";
    CommitsOfAnyBlock, "commits-of-any-block", "Commits for different blocks are counted together.";
    CommitUnprepared, "commit-unprepared", "Commit is sent with the prepare, without a prepared certificate.";
    SecondProposal, "second-proposal", "A second proposal of a view and height takes the place of the first.";
    SecondVote, "second-vote", "A second proposal of a view and height is voted for, and signed.";
    WindowIgnored, "window-ignored", "Votes are cast beyond the window above what is executed.";
    BadSharesStay, "bad-shares-stay", "Shares that spoiled a combination are combined again.";
    EvidenceAcrossViews, "evidence-across-views", "Votes for different blocks in different views count as evidence.";
    PlanForgotten, "plan-forgotten", "A new view begins with no plan.";
    PlanOfNulls, "plan-of-nulls", "A new view plans null blocks where blocks are prepared.";
    PlanStopsAtHoles, "plan-stops-at-holes", "A new view's plan ends below the first height with nothing prepared.";
    LowestViewWins, "lowest-view-wins", "Of several prepared certificates the one of the lowest view is planned.";
    LowestCheckpointWins, "lowest-checkpoint-wins", "A new view begins at the lowest stable checkpoint instead of the highest.";
    FirstCertificateStays, "first-certificate-stays", "A prepared certificate of a later view does not replace an earlier one.";
    PreparedUnsaid, "prepared-unsaid", "View-changes say that nothing is prepared.";
    PreparedDropped, "prepared-dropped", "Prepared certificates are dropped when a view is entered.";
    JoinOne, "join-one", "A single replica in a higher view is joined, instead of f + 1.";
    SecondNewView, "second-new-view", "A view that is entered already is entered again.";
    NoRetransmission, "no-retransmission", "Nothing is said again.";

    VoteQuorum, "vote-quorum", "One vote fewer than a quorum certifies a node, or elects a leader.";
    HighUnsaid, "high-unsaid", "A timeout shows the genesis certificate in place of the highest.";
    TimeoutQuorum, "timeout-quorum", "One timeout fewer than a quorum ends a tenure.";
    LockIgnored, "lock-ignored", "Three-chain: nodes below the lock are voted for.";
    NeverLocked, "never-locked", "Three-chain: nothing is ever locked.";
    TwoOfThree, "two-of-three", "Three-chain: two consecutive views commit.";
    ReportsIgnored, "reports-ignored", "Two-chain: nodes below what a timeout certificate reports are voted for.";
    ViewsNeedNotFollow, "views-need-not-follow", "Chains of views that are not consecutive commit.";
    AnyCertificateIsHigh, "any-certificate-is-high", "The last certificate seen counts as the highest.";
    VoteUnlogged, "vote-unlogged", "Votes are not logged.";
    TimeoutUnlogged, "timeout-unlogged", "Timeouts are not logged.";
    StartWithoutVotes, "start-without-votes", "A start passes over the votes in the log.";
    StartWithoutTimeouts, "start-without-timeouts", "A start passes over the timeouts in the log.";
    JustifyUnproven, "justify-unproven", "The certificates that a proposal rests on need not verify.";
    HighUnproven, "high-unproven", "The certificate in a timeout need not verify.";
    VoteAfterTimeout, "vote-after-timeout", "Votes are cast in a tenure that was given up.";

    AppendQuorum, "append-quorum", "One acknowledgement fewer than a majority commits an entry.";
    CountOlderViews, "count-older-views", "Entries of earlier views are committed by counting.";
    AnyLogLeads, "any-log-leads", "Votes are given whatever the candidate's log is.";
    GapsInLog, "gaps-in-log", "Entries are added without a look at the one that they follow on.";
    CommitOwnLog, "commit-own-log", "A follower commits what its own log has, whether or not the leader's has it.";
    AnyViewsAcknowledgement, "any-views-acknowledgement", "Acknowledgements to an earlier leadership count.";
    NoFirstEntry, "no-first-entry", "A leader begins without an empty block.";
    NoPreVote, "no-pre-vote", "A replica that hears no leader enters the next view at once, and others follow it there.";
    NoCheckQuorum, "no-check-quorum", "A leader that nobody answers goes on leading.";
    ReadUnconfirmed, "read-unconfirmed", "A leader answers reads without making sure that it still leads.";
    ReadBeforeFirstEntry, "read-before-first-entry", "A leader answers reads before it has committed an entry of its own.";
    ViewUnlogged, "view-unlogged", "Views entered and votes given are not logged.";
    EntryUnlogged, "entry-unlogged", "Entries are not logged.";
    StartWithoutViews, "start-without-views", "A start passes over the views and votes in the log.";
    StartWithoutEntries, "start-without-entries", "A start passes over the entries in the log.";

    CheckpointUnexecuted, "checkpoint-unexecuted", "A checkpoint is adopted before its height is executed.";
    CheckpointEarly, "checkpoint-early", "A checkpoint vote leaves before the entry below it is on disk.";
    OneCollector, "one-collector", "Only the first collector of a checkpoint is ever tried.";
    FutureTime, "future-time", "Proposals may be of any time in the future.";
    SessionBitmap, "session-bitmap", "Sequences above a session's low mark execute again.";
    SessionLowMark, "session-low-mark", "Sequences below a session's low mark execute again.";
    RefusedWritesStay, "refused-writes-stay", "What a refused transaction wrote stays.";
    RefusalSettles, "refusal-settles", "A receipt that settles nothing takes the place of one that does.";
    ReceiptPath, "receipt-path", "Receipts are proven by the path of another receipt of their block.";
    ForgottenStays, "forgotten-stays", "What others show a replica of the promises that it has forgotten is ignored.";
    ReleaseUnflushed, "release-unflushed", "The log is cut before the state on disk covers it.";
    StateOfAnyRoot, "state-of-any-root", "State is fetched and installed without a look at the certified root.";

    PromiseBeforeDurable, "promise-before-durable", "Promises leave before their records are durable.";
    PrepareUnlogged, "prepare-unlogged", "Prepares are not logged.";
    PreparedUnlogged, "prepared-unlogged", "Prepared certificates are not logged.";
    ViewChangeUnlogged, "view-change-unlogged", "View-changes are not logged.";
    NewViewUnlogged, "new-view-unlogged", "Views entered are not logged.";
    BlockUnlogged, "block-unlogged", "Blocks voted for are not logged.";
    HeadWithoutRecords, "head-without-records", "A segment begins without the records in force.";
    HeadWithoutCertificate, "head-without-certificate", "A segment begins without the stable certificate.";
    StartWithoutPrepares, "start-without-prepares", "A start passes over the prepares in the log.";
    StartWithoutPrepared, "start-without-prepared", "A start passes over the prepared certificates in the log.";
    StartWithoutViewChanges, "start-without-view-changes", "A start passes over the view-changes in the log.";
    StartWithoutNewViews, "start-without-new-views", "A start passes over the views entered that are in the log.";
    StateMerged, "state-merged", "A fetched state is written over the old one instead of replacing it.";
    FlushedEarly, "flushed-early", "State is taken to be on disk before it is.";
    LearnerVotes, "learner-votes", "A replica that lost its disk votes.";

    AnyLeader, "any-leader", "Proposals are accepted from others than the view's leader.";
    ClientUnsigned, "client-unsigned", "Transactions need no valid signature.";
    PayloadOfOtherRoot, "payload-of-other-root", "A block's payload need not be the one in its header.";
    Unsigned, "unsigned", "View-changes and new-views need no valid signature.";
    ShortNewView, "short-new-view", "A new-view may name any number of view-changes.";
    PreparedUnproven, "prepared-unproven", "Prepared certificates that others show need not verify.";
    CommittedUnproven, "committed-unproven", "A collector's certificate of commits need not verify.";
    CheckpointUnproven, "checkpoint-unproven", "Checkpoint certificates need not verify.";
    CheckpointUnsigned, "checkpoint-unsigned", "A checkpoint certificate may carry no signature at all.";
    ChainUnproven, "chain-unproven", "The certificate of a fetched chain need not verify.";
    ChainUnlinked, "chain-unlinked", "The entries of a fetched chain need not link up to their certificate.";
    BlockOfOtherEntry, "block-of-other-entry", "A fetched block need not be the one of its entry.";
    PromiseUnproven, "promise-unproven", "What others show a replica as its own promise need not have its seal.";
    OfferUnproven, "offer-unproven", "The certificate of an offered state need not verify.";
    StretchUnproven, "stretch-unproven", "A stretch of a fetched state need not verify against its root.";
}

#[cfg(feature = "mutants")]
thread_local! {
    /// A run of the simulator stays on one thread.
    static ON: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Whether this thread breaks the rule.
    pub fn is_on(self) -> bool {
        ON.get() == Some(self)
    }

    /// From here on this thread breaks that rule only, or none.
    pub fn switch(on: Option<Mutant>) {
        ON.set(on);
    }
}

#[cfg(not(feature = "mutants"))]
impl Mutant {
    /// Never.
    pub const fn is_on(self) -> bool {
        false
    }
}

impl Mutant {
    /// One less than `quorum` with the mutant on.
    pub fn lowers(self, quorum: usize) -> usize {
        quorum - usize::from(self.is_on())
    }

    /// A number that sorts the other way round with the mutant on.
    pub fn flips(self, number: u64) -> u64 {
        if self.is_on() { !number } else { number }
    }
}
