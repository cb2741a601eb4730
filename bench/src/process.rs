//! One replica as an operating-system process.

use anyhow::{Context, bail};
use crypto::ReplicaId;
use rustix::process::{Pid, Signal};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where a replica's standard output and error go, in its home.
pub const OUTPUT: &str = "replica.log";

/// What a replica says that cannot listen (`net`).
const PORT_TAKEN: &str = "the port is taken";

/// What a replica says that is about to serve (`quorate::node`).
const STARTED: &str = ": started replica=";

/// How much of the output an error message quotes, in bytes.
const LAST_WORDS: u64 = 2000;

/// A replica's process. It ends with this value, unless [`ReplicaProcess::detach`] lets it go.
#[derive(Debug)]
pub struct ReplicaProcess {
    executable: PathBuf,
    home: PathBuf,
    replica: ReplicaId,
    child: Option<Child>,
    /// Processor time of earlier processes of this replica.
    spent: Duration,
}

impl ReplicaProcess {
    /// Runs `executable start --home HOME`. Its output is appended to `HOME/replica.log`.
    ///
    /// # Errors
    /// If the process cannot be started. That it stays alive is not waited for: see [`ReplicaProcess::ended`].
    pub fn start(executable: &Path, home: &Path, replica: ReplicaId) -> anyhow::Result<ReplicaProcess> {
        let mut process = ReplicaProcess {
            executable: executable.to_owned(),
            home: home.to_owned(),
            replica,
            child: None,
            spent: Duration::ZERO,
        };
        process.restart()?;
        Ok(process)
    }

    /// Starts it again after it was killed or stopped.
    ///
    /// # Errors
    /// If it still runs, or cannot be started.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            bail!("{} still runs as process {:?}", self.replica, self.pid());
        }
        let path = self.output_path();
        let output = OpenOptions::new().create(true).append(true).open(&path);
        let output = output.with_context(|| format!("cannot write {}", path.display()))?;
        let child = Command::new(&self.executable)
            .arg("start")
            .arg("--home")
            .arg(&self.home)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A group of its own: Ctrl-C is for the program that started it, which then stops it in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Which replica.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where its output goes.
    pub fn output_path(&self) -> PathBuf {
        self.home.join(OUTPUT)
    }

    /// The process, while it was not killed or stopped.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it ended by itself, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// User and system time of all its processes so far. What a killed one spent in its very last instant is not in it.
    pub fn cpu_time(&self) -> Duration {
        self.spent + self.pid().and_then(cpu_time).unwrap_or_default()
    }

    /// The most memory that its present process ever had resident, in bytes.
    pub fn peak_resident(&self) -> Option<u64> {
        peak_resident(&fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?)
    }

    /// Freezes it (SIGSTOP), as a machine does that swaps or migrates.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`ReplicaProcess::pause`] (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("{} does not run", self.replica))?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.replica))
    }

    /// Ends it at once, as a crash would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        self.spent += cpu_time(child.id()).unwrap_or_default();
        child.kill().with_context(|| format!("cannot kill {}, process {}", self.replica, child.id()))?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits; after `patience` it is killed.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let Some(child) = self.child.as_mut() else { bail!("{} does not run", self.replica) };
        terminate(child.id());
        let status = wait(child, patience);
        self.spent += cpu_time(child.id()).unwrap_or_default();
        match status {
            Some(status) => {
                self.child = None;
                Ok(status)
            }
            None => {
                self.kill()?;
                bail!("{} did not stop within {} ms and was killed", self.replica, patience.as_millis());
            }
        }
    }

    /// Lets the process run on without this one. Gives its number.
    pub fn detach(mut self) -> Option<u32> {
        self.child.take().map(|child| child.id())
    }

    /// Whether it ended because another program has its port: then a new consortium helps.
    pub fn lost_its_port(&mut self) -> bool {
        self.ended().is_some() && self.last_words().contains(PORT_TAKEN)
    }

    /// How often it has said that it is started and listens; 0 too if what it says was turned down.
    pub fn starts(&self) -> usize {
        fs::read_to_string(self.output_path()).map_or(0, |output| output.matches(STARTED).count())
    }

    /// The end of its output, for error messages.
    pub fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = fs::File::open(self.output_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
            let mut bytes = Vec::new();
            file.take(LAST_WORDS).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_else(|error| format!("({}: {error})", self.output_path().display()))
    }
}

impl Drop for ReplicaProcess {
    fn drop(&mut self) {
        // Nobody is left to tell; a process that is gone already is what was wanted.
        let _ = self.kill();
    }
}

/// Asks several to end, then waits for each: faster than one after the other.
///
/// # Errors
/// The first that had to be killed.
pub fn stop_all(processes: &mut [ReplicaProcess], patience: Duration) -> anyhow::Result<()> {
    processes.iter().filter_map(ReplicaProcess::pid).for_each(terminate);
    let until = Instant::now() + patience;
    let mut first = Ok(());
    for process in processes.iter_mut().filter(|process| process.child.is_some()) {
        let left = until.saturating_duration_since(Instant::now());
        first = first.and(process.stop(left).map(drop));
    }
    first
}

/// A process that is gone cannot be asked, which is as good.
fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`, in clock ticks (proc(5)).
pub fn cpu_time(pid: u32) -> Option<Duration> {
    spent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The processor time in the `stat` file of a process or thread (proc(5)).
pub(crate) fn spent(stat: &str) -> Option<Duration> {
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    ticks(stat).map(|ticks| Duration::from_secs_f64(ticks as f64 / per_second))
}

fn ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

/// `VmHWM` of `/proc/PID/status`, in bytes (proc(5)).
fn peak_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_resident("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 8 kB\n"), Some(12 << 10));
        assert_eq!(peak_resident("Name:\tx\n"), None);
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 40 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(290));
        assert_eq!(ticks("7"), None);
    }

    #[test]
    fn this_process_has_spent_some_time_or_none() {
        assert!(cpu_time(std::process::id()).is_some());
    }
}
