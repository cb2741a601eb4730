//! A disk whose operations report that they begin, and wait to be let through: what a test blocks without sleeping.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use storage::log::{Disk, SegmentFile};
use storage::testing::FaultDisk;

/// Long enough for any machine; only a failing test waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One end of a gate, the operation's.
#[derive(Clone, Debug)]
pub struct Gate {
    entered: Sender<()>,
    go: Receiver<()>,
}

impl Gate {
    /// A gate, where it reports that something waits, and what lets one operation through; dropping the last lets all through.
    pub fn new() -> (Gate, Receiver<()>, Sender<()>) {
        let (entered, entries) = unbounded();
        let (open, go) = unbounded();
        (Gate { entered, go }, entries, open)
    }
}

/// Where a gate may stand; none does at first.
pub type Place = Arc<Mutex<Option<Gate>>>;

/// Gates the syncs or the reads of files.
#[derive(Clone, Debug)]
pub struct GatedDisk {
    pub disk: FaultDisk,
    pub sync: Place,
    pub read: Place,
}

fn pass(place: &Place) {
    let gate = place.lock().clone();
    if let Some(Gate { entered, go }) = gate {
        // Both fail once the test has let go of its ends: then nothing waits any more.
        let _ = entered.send(());
        let _ = go.recv();
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn SegmentFile>,
    sync: Place,
    read: Place,
}

impl GatedDisk {
    /// No gate stands anywhere yet.
    pub fn new(disk: &FaultDisk) -> GatedDisk {
        GatedDisk { disk: disk.clone(), sync: Place::default(), read: Place::default() }
    }

    fn gate(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(GatedFile { file, sync: self.sync.clone(), read: self.read.clone() })
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        self.disk.create(path).map(|file| self.gate(file))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        self.disk.open(path).map(|file| self.gate(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn nonce(&self) -> io::Result<u64> {
        self.disk.nonce()
    }
}

impl SegmentFile for GatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        pass(&self.read);
        self.file.read_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        pass(&self.sync);
        self.file.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
