//! Batches of a file one after the other, each checked, through a buffer that grows to the largest batch only.

use crate::batch::{BatchHeader, HEADER_LEN, check};
use crate::disk::{DiskError, DiskFile};

/// The bytes of one read, where nobody says another number. Smaller costs system calls, larger costs memory for each
/// partition that is opened.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// What stands at the reader's position.
pub(crate) enum Next<'a> {
    /// A whole batch.
    Batch(BatchHeader, &'a [u8]),
    /// The end of the file, or zeros.
    End,
    /// Something else, in words.
    Bad(String),
}

/// Reads batches from a file.
pub(crate) struct BatchReader<'a, F: DiskFile> {
    file: &'a F,
    /// Of the next batch.
    position: u64,
    len: u64,
    read_bytes: usize,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    buffer_position: u64,
}

impl<'a, F: DiskFile> BatchReader<'a, F> {
    /// Reads from `position` to `len` (exclusive), `read_bytes` or the largest batch at a time.
    pub(crate) fn new(file: &'a F, position: u64, len: u64, read_bytes: usize) -> Self {
        Self { file, position, len, read_bytes, buffer: Vec::new(), buffer_position: position }
    }

    /// Where the next batch starts, which is where the batches so far end.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
        self.buffer_position = position;
        self.buffer.clear();
    }

    /// The next batch, where `is_plausible` takes its header. The position moves behind a whole batch only.
    pub(crate) fn next(
        &mut self,
        is_plausible: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Next<'_>, DiskError> {
        let position = self.position;
        if position >= self.len {
            return Ok(Next::End);
        }
        self.fill(HEADER_LEN)?;
        let head = self.buffered();
        if head.iter().take(HEADER_LEN).all(|byte| *byte == 0) {
            return Ok(Next::End);
        }
        let header = match BatchHeader::parse(head) {
            Ok(header) => header,
            Err(error) => return Ok(Next::Bad(error.to_string())),
        };
        let needed = header.size_in_bytes();
        if needed as u64 > self.len - position {
            return Ok(Next::Bad(format!("a batch of {needed} bytes is not whole")));
        }
        if !is_plausible(&header) {
            let (base, epoch) = (header.base_offset, header.partition_leader_epoch);
            return Ok(Next::Bad(format!("a batch at offset {base} of epoch {epoch} does not follow")));
        }
        self.fill(needed)?;
        if let Err(error) = check(self.buffered()) {
            return Ok(Next::Bad(error.to_string()));
        }
        self.position += needed as u64;
        let start = usize::try_from(position - self.buffer_position).unwrap_or(usize::MAX);
        Ok(Next::Batch(header, self.buffer.get(start..start.saturating_add(needed)).unwrap_or(&[])))
    }

    fn buffered(&self) -> &[u8] {
        let start = usize::try_from(self.position - self.buffer_position).unwrap_or(usize::MAX);
        self.buffer.get(start..).unwrap_or(&[])
    }

    /// Sees to it that `count` bytes from the position on are in the buffer, where the file has them.
    fn fill(&mut self, count: usize) -> Result<(), DiskError> {
        if self.buffered().len() >= count {
            return Ok(());
        }
        self.buffer_position = self.position;
        self.buffer.resize(count.max(self.read_bytes), 0);
        let filled = self.file.read_at(self.position, &mut self.buffer)?;
        self.buffer.truncate(filled);
        Ok(())
    }
}

/// Where the next batch stands behind the damage at `damaged`, in a file of `len` bytes: one that is whole and of which
/// `is_plausible` takes the header. First where the damaged one says that it ends; then byte by byte.
pub(crate) fn next_whole<F: DiskFile>(
    file: &F,
    damaged: u64,
    len: u64,
    is_plausible: impl Fn(&BatchHeader) -> bool,
) -> Result<Option<u64>, DiskError> {
    let is_whole = |position: u64| -> Result<bool, DiskError> {
        let mut reader = BatchReader::new(file, position, len, HEADER_LEN);
        Ok(matches!(reader.next(&is_plausible)?, Next::Batch(..)))
    };
    let mut window = vec![0; READ_BYTES];
    let mut position = damaged;
    while position < len {
        let filled = file.read_at(position, &mut window)?;
        let bytes = window.get(..filled).unwrap_or(&[]);
        let header_at = |at: usize| BatchHeader::parse(bytes.get(at..)?).ok();
        if let Some(header) = header_at(0).filter(|_| position == damaged) {
            let end = damaged + header.size_in_bytes() as u64;
            if is_whole(end)? {
                return Ok(Some(end));
            }
        }
        for at in 1..filled {
            let found = position + at as u64;
            if header_at(at).is_some_and(|header| is_plausible(&header)) && is_whole(found)? {
                return Ok(Some(found));
            }
        }
        // The next window begins with what was too short for a header.
        if filled <= HEADER_LEN {
            return Ok(None);
        }
        position += (filled - HEADER_LEN) as u64;
    }
    Ok(None)
}
