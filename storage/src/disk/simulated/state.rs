//! The files and directories of a simulated disk: as a program sees them, and as a crash leaves them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::{DirectoryEntry, Operation};

/// A crash keeps or loses whole pages.
const PAGE: usize = 4096;

/// The number of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct INode(u64);

const ROOT: INode = INode(0);

pub(super) struct State {
    files: BTreeMap<INode, File>,
    directories: BTreeMap<INode, Directory>,
    next_node: u64,
    random: Random,
    pub(super) capacity: u64,
    pub(super) sync_points: u64,
    pub(super) halt_at: Option<u64>,
    pub(super) halt_behind: Option<u64>,
    pub(super) is_halted: bool,
    pub(super) failures: Vec<(Operation, u64, io::ErrorKind)>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) is_own_file_system: bool,
}

#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    durable: Vec<u8>,
    /// The numbers of pages that differ, or may differ.
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Default)]
struct Directory {
    entries: BTreeMap<String, INode>,
    durable: BTreeMap<String, INode>,
    /// Changes that are not synced, oldest first. One is made of steps that happen together.
    pending: Vec<Vec<Step>>,
}

#[derive(Clone)]
enum Step {
    Put(String, INode),
    Remove(String),
}

impl Step {
    fn apply(&self, entries: &mut BTreeMap<String, INode>) {
        match self {
            Self::Put(name, node) => drop(entries.insert(name.clone(), *node)),
            Self::Remove(name) => drop(entries.remove(name)),
        }
    }
}

impl Directory {
    fn change(&mut self, steps: Vec<Step>) {
        steps.iter().for_each(|step| step.apply(&mut self.entries));
        self.pending.push(steps);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.entries);
        self.pending.clear();
    }
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64).max(1)).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}

impl State {
    pub(super) fn new(seed: u64, capacity: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            directories: BTreeMap::from([(ROOT, Directory::default())]),
            next_node: 1,
            random: Random(seed),
            capacity,
            sync_points: 0,
            halt_at: None,
            halt_behind: None,
            is_halted: false,
            failures: Vec::new(),
            locks: BTreeSet::new(),
            is_own_file_system: false,
        }
    }

    pub(super) fn check_is_running(&self) -> io::Result<()> {
        if self.is_halted { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    /// Counts a call of an operation, which fails where that was asked for.
    pub(super) fn check(&mut self, operation: Operation) -> io::Result<()> {
        let mut failed = None;
        self.failures.retain_mut(|(failing, after, kind)| {
            if *failing != operation {
                return true;
            }
            if *after == 0 {
                failed = Some(*kind);
                return false;
            }
            *after -= 1;
            true
        });
        failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Counts a sync, and answers whether it does what it reports.
    fn sync_point(&mut self) -> io::Result<bool> {
        let number = self.sync_points;
        self.sync_points += 1;
        if self.halt_behind == Some(number) {
            self.check_is_running()?;
            self.is_halted = true;
            return Ok(false);
        }
        if self.halt_at == Some(number) {
            self.is_halted = true;
        }
        self.check_is_running()?;
        self.check(Operation::Sync).map(|()| true)
    }

    pub(super) fn file(&self, node: INode) -> &File {
        self.files.get(&node).expect("the number of a file stays its number")
    }

    fn file_mut(&mut self, node: INode) -> &mut File {
        self.files.get_mut(&node).expect("the number of a file stays its number")
    }

    fn find(&self, names: &[String]) -> io::Result<INode> {
        names.iter().try_fold(ROOT, |node, name| {
            let directory = self.directories.get(&node).ok_or(io::ErrorKind::NotADirectory)?;
            directory.entries.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn directory(&mut self, names: &[String]) -> io::Result<&mut Directory> {
        let node = self.find(names)?;
        self.directories.get_mut(&node).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    fn parent<'a>(&mut self, names: &'a [String]) -> io::Result<(&mut Directory, &'a String)> {
        let (name, parents) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.directory(parents)?, name))
    }

    fn new_node(&mut self) -> INode {
        self.next_node += 1;
        INode(self.next_node)
    }

    pub(super) fn find_file(&self, names: &[String]) -> io::Result<INode> {
        let node = self.find(names)?;
        if self.files.contains_key(&node) { Ok(node) } else { Err(io::ErrorKind::IsADirectory.into()) }
    }

    pub(super) fn create_file(&mut self, names: &[String]) -> io::Result<INode> {
        if let Ok(node) = self.find_file(names) {
            self.set_len(node, 0);
            return Ok(node);
        }
        let node = self.new_node();
        let (directory, name) = self.parent(names)?;
        directory.change(vec![Step::Put(name.clone(), node)]);
        self.files.insert(node, File::default());
        Ok(node)
    }

    pub(super) fn create_dir(&mut self, names: &[String]) -> io::Result<()> {
        if self.find(names).is_ok() {
            return Ok(());
        }
        let node = self.new_node();
        let (directory, name) = self.parent(names)?;
        directory.change(vec![Step::Put(name.clone(), node)]);
        self.directories.insert(node, Directory::default());
        Ok(())
    }

    /// Within a directory a rename is one change; names never move between directories here.
    pub(super) fn rename(&mut self, from: &[String], to: &[String]) -> io::Result<()> {
        let node = self.find(from)?;
        let (to_name, to_parents) = to.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let (from_name, from_parents) = from.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        if to_parents != from_parents {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let steps = vec![Step::Remove(from_name.clone()), Step::Put(to_name.clone(), node)];
        self.directory(from_parents)?.change(steps);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, names: &[String]) -> io::Result<()> {
        self.find_file(names)?;
        let (directory, name) = self.parent(names)?;
        directory.change(vec![Step::Remove(name.clone())]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, names: &[String]) -> io::Result<()> {
        if !self.directory(names)?.entries.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (directory, name) = self.parent(names)?;
        directory.change(vec![Step::Remove(name.clone())]);
        Ok(())
    }

    pub(super) fn list(&mut self, names: &[String]) -> io::Result<Vec<DirectoryEntry>> {
        let entries = self.directory(names)?.entries.clone();
        let entry =
            |(name, node)| DirectoryEntry { name, is_directory: self.directories.contains_key(&node) };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// What files take that still have a name; the rest of a real disk's accounting is left out.
    pub(super) fn free_bytes(&self) -> u64 {
        let named = self.directories.values().flat_map(|directory| directory.entries.values());
        let used: usize = named.filter_map(|node| self.files.get(node)).map(|file| file.content.len()).sum();
        self.capacity.saturating_sub(used as u64)
    }

    /// What all files may take.
    pub(super) fn total_bytes(&self) -> u64 {
        self.capacity
    }

    pub(super) fn write(&mut self, node: INode, position: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(position).map_err(io::Error::other)?;
        let end = start + bytes.len();
        let growth = end.saturating_sub(self.file(node).content.len()) as u64;
        if growth > self.free_bytes() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.file_mut(node);
        if file.content.len() < end {
            file.content.resize(end, 0);
        }
        if let Some(target) = file.content.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        file.dirty.extend(start / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    /// A full disk keeps what could be allocated, as ext4 does.
    pub(super) fn allocate(&mut self, node: INode, end: u64) -> io::Result<()> {
        let len = self.file(node).content.len() as u64;
        let growth = end.saturating_sub(len);
        let possible = growth.min(self.free_bytes());
        self.set_len(node, len + possible);
        if possible < growth { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn set_len(&mut self, node: INode, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let file = self.file_mut(node);
        let changed = file.content.len().min(len) / PAGE..file.content.len().max(len).div_ceil(PAGE);
        file.dirty.extend(changed);
        file.content.resize(len, 0);
    }

    pub(super) fn sync_file(&mut self, node: INode, range: Range<u64>) -> io::Result<()> {
        if self.sync_point()? {
            self.file_mut(node).sync(&range);
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, names: &[String]) -> io::Result<()> {
        if self.sync_point()? {
            self.directory(names)?.sync();
        }
        Ok(())
    }

    pub(super) fn sync_everything(&mut self) -> io::Result<()> {
        if self.sync_point()? {
            self.files.values_mut().for_each(|file| file.sync(&(0..u64::MAX)));
            self.directories.values_mut().for_each(Directory::sync);
        }
        Ok(())
    }

    /// What a crash leaves.
    pub(super) fn after_crash(&mut self) -> Self {
        let mut random = Random(self.random.next());
        let mut next = Self::new(random.next(), self.capacity);
        next.next_node = self.next_node;
        next.is_own_file_system = self.is_own_file_system;
        next.directories = self.directories.clone();
        for directory in next.directories.values_mut() {
            let kept = random.below(directory.pending.len() + 1);
            let steps = directory.pending.iter().take(kept).flatten();
            steps.for_each(|step| step.apply(&mut directory.durable));
            directory.entries = directory.durable.clone();
            directory.pending.clear();
        }
        next.files = self.files.iter().map(|(node, file)| (*node, file.after_crash(&mut random))).collect();
        next
    }
}

impl File {
    /// The pages of the range reach the disk, and the length with them.
    fn sync(&mut self, range: &Range<u64>) {
        self.durable.resize(self.content.len(), 0);
        let first = usize::try_from(range.start).unwrap_or(usize::MAX) / PAGE;
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).div_ceil(PAGE);
        let written: Vec<usize> = self.dirty.range(first..end.max(first)).copied().collect();
        for page in written {
            self.dirty.remove(&page);
            copy_page(&self.content, &mut self.durable, page);
        }
    }

    fn after_crash(&self, random: &mut Random) -> Self {
        let mut durable = self.durable.clone();
        if random.coin() {
            durable.resize(self.content.len(), 0);
        }
        for page in &self.dirty {
            if random.coin() {
                copy_page(&self.content, &mut durable, *page);
            }
        }
        Self { content: durable.clone(), durable, dirty: BTreeSet::new() }
    }
}

/// Copies what both have of a page.
fn copy_page(from: &[u8], to: &mut [u8], page: usize) {
    let (start, end) = (page * PAGE, (page + 1) * PAGE);
    let end = end.min(from.len()).min(to.len());
    if let (Some(from), Some(to)) = (from.get(start..end), to.get_mut(start..end)) {
        to.copy_from_slice(from);
    }
}
