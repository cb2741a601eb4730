//! What the demo tells while it runs: a line with the time for every step, and a bar during the load.

use crate::cli::print;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal the progress of the load is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// The voice of one run.
pub(super) struct Narration {
    begun: Instant,
    bar: parking_lot::Mutex<Option<ProgressBar>>,
    last_line: parking_lot::Mutex<Instant>,
    terminal: bool,
}

impl Narration {
    pub(super) fn new() -> Narration {
        let now = Instant::now();
        Narration {
            begun: now,
            bar: parking_lot::Mutex::new(None),
            last_line: parking_lot::Mutex::new(now),
            terminal: std::io::stdout().is_terminal() && std::io::stderr().is_terminal(),
        }
    }

    /// A step, with the time since the beginning.
    pub(super) fn say(&self, what: &str) {
        self.plain(&format!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// Lines without the time.
    pub(super) fn plain(&self, text: &str) {
        match self.bar.lock().as_ref() {
            Some(bar) => bar.suspend(|| print(text)),
            None => print(text),
        }
    }

    /// The load begins.
    pub(super) fn begin(&self, transactions: u64) {
        if self.terminal {
            let style = ProgressStyle::with_template("          {bar:40} {pos}/{len} proven  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            *self.bar.lock() = Some(ProgressBar::new(transactions).with_style(style));
        }
    }

    /// So many receipts are proven, so many transactions on their way.
    pub(super) fn progress(&self, proven: u64, total: u64, under_way: u64) {
        if let Some(bar) = self.bar.lock().as_ref() {
            bar.set_position(proven);
            bar.set_message(format!("{under_way} under way"));
            return;
        }
        let mut last_line = self.last_line.lock();
        if last_line.elapsed() >= LINE_EVERY {
            *last_line = Instant::now();
            drop(last_line);
            self.say(&format!("{proven} of {total} proven, {under_way} under way"));
        }
    }

    /// The load is over.
    pub(super) fn end(&self) {
        if let Some(bar) = self.bar.lock().take() {
            bar.finish_and_clear();
        }
    }
}
