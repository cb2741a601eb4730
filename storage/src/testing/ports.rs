//! The ports of a fault disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Dice;
use super::content::Content;
use super::fault_disk::{Ailment, Fault, FaultDisk};
use super::state::{DirOperation, crashed, eio};
use crate::log::{Disk, SegmentFile};

impl Disk for FaultDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.lock();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content::default());
        state.change_dir(DirOperation::Create(path.to_path_buf(), id))?;
        Ok(Arc::new(FaultFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let state = self.0.lock();
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().change_dir(DirOperation::Rename(from.to_path_buf(), to.to_path_buf()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change_dir(DirOperation::Remove(path.to_path_buf()))
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.0.lock().sync_dir()
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.nonces += 1;
        Ok(Dice::new(state.nonces).roll(u64::MAX))
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    id: u64,
}

impl SegmentFile for FaultFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let fault = state.begin();
        match fault {
            Some(Fault::Eio) => return Err(eio()),
            Some(Fault::Crash) if state.over() => return Err(crashed()),
            _ => {}
        }
        if state.strikes(Ailment::WriteError) {
            return Err(eio());
        }
        let room = state.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(state.used()));
        let content = state.content(self.id);
        // A full disk takes what fits and refuses the rest: threat 77 is about the half that was taken.
        let grown = (offset as usize + bytes.len()).saturating_sub(content.cached.len());
        let taken = bytes.len() - grown.saturating_sub(room).min(bytes.len());
        content.write(&bytes[..taken], offset as usize);
        if fault.is_some() {
            return Err(crashed());
        }
        if taken < bytes.len() {
            state.count("disk: writes without room");
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.0.lock().read(self.id, bytes, offset as usize)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.0.lock().sync(self.id)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().content(self.id).cached.len() as u64)
    }
}
