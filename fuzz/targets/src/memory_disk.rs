//! A disk in memory: what is written is there, nothing fails, and random bits are counted, so that a run can be repeated.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use storage::log::{Disk, SegmentFile};

type Content = Arc<Mutex<Vec<u8>>>;

/// Files by path.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
    lives: Arc<Mutex<u64>>,
}

#[derive(Debug)]
struct MemoryFile(Content);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds a file")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl MemoryDisk {
    /// Every file with its content.
    pub fn contents(&self) -> BTreeMap<PathBuf, Bytes> {
        let files = lock(&self.files);
        files.iter().map(|(path, content)| (path.clone(), Bytes::from(lock(content).clone()))).collect()
    }

    /// Makes a file.
    pub fn put(&self, path: &Path, content: Vec<u8>) {
        lock(&self.files).insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }

    /// A disk with the same files, independent from now on.
    pub fn copy(&self) -> MemoryDisk {
        let copy = MemoryDisk::default();
        for (path, content) in self.contents() {
            copy.put(&path, content.to_vec());
        }
        *lock(&copy.lives) = *lock(&self.lives);
        copy
    }
}

impl SegmentFile for MemoryFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let there = &content[start..];
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(lock(&self.files).keys().filter_map(name).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        if lock(&self.files).contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.put(path, Vec::new());
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let content = lock(&self.files).get(path).cloned().ok_or_else(not_found)?;
        Ok(Arc::new(MemoryFile(content)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let content = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).remove(path).map(drop).ok_or_else(not_found)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut lives = lock(&self.lives);
        *lives += 1;
        Ok(lives.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}
