//! A disk in memory that fails as real ones do, and always the same way from the same seed.
//!
//! It keeps for each file and each directory what a program sees and what a crash leaves. A crash keeps everything that was
//! synced; of what was not, it keeps a random choice: single pages of 4 KiB of a file (a torn write), a new length or the old
//! one, the first few of the changes to a directory (their order is kept, as journals do). Errors are set for the n-th call of an
//! operation. Every sync counts as a point at which [`SimulatedDisk::halt_at`] can stop the disk: from then on every
//! operation fails, as if the power were gone. [`SimulatedDisk::halt_behind`] does so while that sync reports success, as
//! those of real file systems do when their end overtakes them.
//!
//! Absent: permissions, links, sparse files, time.

use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, DirectoryEntry, Disk, DiskError, DiskFile};
use crate::ids::TimestampMs;
use crate::mapped::{Region, RegionWriter};

mod state;

use state::{INode, State};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading from a file.
    Read,
    /// Writing to a file, not through a mapping.
    Write,
    /// Allocating space.
    Allocate,
    /// Syncing a file, a mapping, a directory or the file system.
    Sync,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a simulated disk.
pub struct SimulatedFile {
    state: Arc<Mutex<State>>,
    node: INode,
    path: PathBuf,
}

/// A lock on a simulated disk, which a crash takes away.
pub struct SimulatedLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl SimulatedDisk {
    /// An empty disk of `capacity` bytes; what is random follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, capacity: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed, capacity))) }
    }

    /// How many syncs there were.
    #[must_use]
    pub fn sync_points(&self) -> u64 {
        self.state.lock().sync_points
    }

    /// Stops the disk at the sync with this number, counted from 0: it and everything after it fails.
    pub fn halt_at(&self, sync_point: u64) {
        self.state.lock().halt_at = Some(sync_point);
    }

    /// Stops the disk at the sync with this number, which syncs nothing and reports success all the same.
    pub fn halt_behind(&self, sync_point: u64) {
        self.state.lock().halt_behind = Some(sync_point);
    }

    /// Whether the disk has stopped.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.state.lock().is_halted
    }

    /// Lets one call of an operation fail: the next one where `after` is 0, and then further on.
    pub fn fail(&self, operation: Operation, after: u64, kind: io::ErrorKind) {
        self.state.lock().failures.push((operation, after, kind));
    }

    /// Changes how many bytes the disk has.
    pub fn set_capacity(&self, capacity: u64) {
        self.state.lock().capacity = capacity;
    }

    /// The disk after a crash and a restart. This one stays halted, for those who still use it.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        state.is_halted = true;
        Self { state: Arc::new(Mutex::new(state.after_crash())) }
    }

    fn run<T>(
        &self,
        operation: &'static str,
        path: &Path,
        act: impl FnOnce(&mut State, &[String]) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut state = self.state.lock();
        let names = names(path);
        let outcome = state.check_is_running().and_then(|()| act(&mut state, &names));
        outcome.map_err(|e| DiskError::new(operation, path, e))
    }

    fn file(&self, node: INode, path: &Path) -> SimulatedFile {
        SimulatedFile { state: Arc::clone(&self.state), node, path: path.to_owned() }
    }
}

fn names(path: &Path) -> Vec<String> {
    let normal = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    };
    path.components().filter_map(normal).collect()
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;

    fn create(&self, path: &Path) -> Result<SimulatedFile, DiskError> {
        let node = self.run("create", path, State::create_file)?;
        Ok(self.file(node, path))
    }

    fn open(&self, path: &Path, _access: Access) -> Result<SimulatedFile, DiskError> {
        let node = self.run("open", path, |state, names| state.find_file(names))?;
        Ok(self.file(node, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let to = names(to);
        self.run("rename", from, |state, from| state.rename(from, &to))
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.run("remove", path, State::remove_file)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.run("remove", path, State::remove_dir)
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskError> {
        self.run("list", path, State::list)
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.run("create directory", path, State::create_dir)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.run("sync", path, State::sync_dir)
    }

    fn sync_file_system(&self, path: &Path) -> Result<(), DiskError> {
        self.run("sync the file system of", path, |state, _| state.sync_everything())
    }

    fn is_own_file_system(&self, _path: &Path) -> bool {
        self.state.lock().is_own_file_system
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.run("ask for the free space of", path, |state, _| Ok(state.free_bytes()))
    }

    fn total_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.run("ask for the size of", path, |state, _| Ok(state.total_bytes()))
    }

    fn modified(&self, path: &Path) -> Result<TimestampMs, DiskError> {
        self.run("ask for the age of", path, |state, names| state.find_file(names).map(|_| TimestampMs(0)))
    }

    fn lock(&self, path: &Path) -> Result<Option<SimulatedLock>, DiskError> {
        let is_new = self.run("lock", path, |state, names| {
            state.find_file(names).or_else(|_| state.create_file(names))?;
            Ok(state.locks.insert(path.to_owned()))
        })?;
        Ok(is_new.then(|| SimulatedLock { state: Arc::clone(&self.state), path: path.to_owned() }))
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

impl SimulatedDisk {
    /// Says that the log directory has a file system of its own, so that it is synced as one.
    pub fn set_own_file_system(&self, is_own: bool) {
        self.state.lock().is_own_file_system = is_own;
    }
}

impl SimulatedFile {
    fn run<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&mut State, INode) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut state = self.state.lock();
        let outcome = state.check_is_running().and_then(|()| act(&mut state, self.node));
        outcome.map_err(|e| DiskError::new(operation, &self.path, e))
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> Result<u64, DiskError> {
        self.run("ask for the length of", |state, node| Ok(state.file(node).content.len() as u64))
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.run("read", |state, node| {
            state.check(Operation::Read)?;
            let start = usize::try_from(position).unwrap_or(usize::MAX);
            let content = state.file(node).content.get(start..).unwrap_or(&[]);
            let count = content.len().min(buffer.len());
            buffer.iter_mut().zip(content).for_each(|(target, byte)| *target = *byte);
            Ok(count)
        })
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.run("write", |state, node| {
            state.check(Operation::Write)?;
            state.write(node, position, bytes)
        })
    }

    fn allocate(&self, range: Range<u64>) -> Result<(), DiskError> {
        self.run("allocate space for", |state, node| {
            state.check(Operation::Allocate)?;
            state.allocate(node, range.end)
        })
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.run("cut", |state, node| {
            state.set_len(node, len);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.run("sync", |state, node| state.sync_file(node, 0..u64::MAX))
    }

    fn confirm_syncs(&self) -> Result<(), DiskError> {
        self.run("confirm the sync of what stands beside", |_, _| Ok(()))
    }

    fn start_writeback(&self, _range: Range<u64>) -> Result<(), DiskError> {
        self.run("start writing", |_, _| Ok(()))
    }

    fn map(&self, capacity: u64, published_end: u64) -> Result<(Arc<Region>, RegionWriter), DiskError> {
        self.run("map", |state, node| {
            let published = usize::try_from(published_end).map_err(io::Error::other)?;
            let content = state.file(node).content.get(..published).ok_or(io::ErrorKind::InvalidInput)?;
            Region::anonymous(usize::try_from(capacity).map_err(io::Error::other)?, content)
        })
    }

    fn map_sealed(&self, len: u64) -> Result<Arc<Region>, DiskError> {
        self.map(len, len).map(|(region, _)| region)
    }

    fn store(&self, writer: &mut RegionWriter, position: u64, bytes: &[u8]) {
        let start = usize::try_from(position).expect("a position in a mapping fits the address space");
        writer.store(start, bytes);
        // A store reaches a page that exists, whatever the state of the disk.
        let mut state = self.state.lock();
        let end = position + bytes.len() as u64;
        assert!(end <= state.file(self.node).content.len() as u64, "a store beyond the file is a signal");
        state.write(self.node, position, bytes).expect("a store within the file needs no space");
    }

    fn write_parts(
        &self,
        writer: &mut RegionWriter,
        position: u64,
        parts: [&[u8]; 2],
    ) -> Result<(), DiskError> {
        let mut position = position;
        for part in parts {
            self.write_at(position, part)?;
            // The mapping shows what the file holds.
            writer.store(
                usize::try_from(position).expect("a position in a mapping fits the address space"),
                part,
            );
            position += part.len() as u64;
        }
        Ok(())
    }

    fn sync_mapped(&self, _region: &Region, range: Range<u64>) -> Result<(), DiskError> {
        self.run("sync", |state, node| state.sync_file(node, range))
    }
}

#[cfg(test)]
mod tests;
