//! A disk that can be full.

use anyhow::ensure;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a small disk: more than a run needs.
const SMALL_DISK: &str = "size=512m";

/// A file system of its own for a data directory. It goes with this value.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Whether this user may mount one in `dir`.
    pub fn is_possible(dir: &Path) -> bool {
        fs::create_dir_all(dir).is_ok() && SmallDisk::mount(dir).is_ok()
    }

    fn mount(at: &Path) -> anyhow::Result<SmallDisk> {
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs"]).arg(at).output()?;
        ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(SmallDisk(at.to_owned()))
    }

    /// Mounts one over a directory, which keeps what it holds.
    pub(super) fn under(data: &Path) -> anyhow::Result<SmallDisk> {
        let aside = data.with_extension("aside");
        fs::rename(data, &aside)?;
        fs::create_dir(data)?;
        let disk = SmallDisk::mount(data)?;
        for entry in fs::read_dir(&aside)? {
            let entry = entry?;
            fs::copy(entry.path(), data.join(entry.file_name()))?;
        }
        fs::remove_dir_all(&aside)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all room but this many bytes.
    pub(super) fn fill(&self, left: u64) -> anyhow::Result<()> {
        let mut file = File::create(self.filler())?;
        let zeros = vec![0; 1 << 16];
        while file.write_all(&zeros).is_ok() {}
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(left))?;
        Ok(())
    }

    /// Gives it back.
    pub(super) fn make_room(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that uses it may just be ending. If it fails, the directory cannot be removed, and says so.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
