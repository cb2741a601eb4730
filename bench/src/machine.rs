//! Where figures come from: machine, command, commit.

use std::process::Command;

/// The processor and how many cores of it there are.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let hashing = if info.contains(" sha_ni") { ", SHA-NI" } else { "" };
    format!("{cores} cores of {model}{hashing}, {}", std::env::consts::OS)
}

/// The command line, without the place of the program.
pub fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("quorate {}", words.join(" "))
}

/// The commit of the checkout that this runs in, with a mark if it has changes; none outside of one.
pub fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    Some(if changed { format!("{commit} with changes") } else { commit })
}
