use super::*;
use crate::quorum::snapshot::SnapshotFile;
use crate::quorum::store::LogStore;
use crate::quorum::types::QuorumNode;
use openraft::EntryPayload;
use std::fs;
use tempfile::TempDir;

const NODE_ID: RaftNodeId = 0x0123_4567_89ab_cdef;

fn blank(index: u64) -> Entry {
    Entry { log_id: crate::quorum::types::log_id(1, index), payload: EntryPayload::Blank }
}

fn indexes(path: &Path) -> Result<(Journal, Vec<u64>), StoreError> {
    let mut indexes = Vec::new();
    let journal = Journal::open(path, |frame| match frame {
        ReadFrame::Entries(entries) => indexes.extend(entries.iter().map(|entry| entry.log_id.index)),
        ReadFrame::Vote(_) | ReadFrame::Truncate { .. } | ReadFrame::Purge(_) => {}
    })?;
    Ok((journal.expect("the journal exists"), indexes))
}

/// A journal of the entries 0 to 2 (one frame each); with where each frame begins, and where the last one ends.
fn three_entries(path: &Path) -> Vec<usize> {
    let mut journal = Journal::create(path, NODE_ID, &[]).expect("it is made");
    let mut positions = vec![HEADER_LEN];
    for index in 0..3 {
        journal.append(&Frame::Entries(&[blank(index)])).expect("it is written");
        positions.push(usize::try_from(journal.len()).expect("it is short"));
    }
    positions
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_journal_goes_on() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let positions = three_entries(&path);
    let original = fs::read(&path).expect("it can be read");
    for cut in positions[2]..positions[3] {
        let mut content = original.clone();
        content[cut..].fill(0);
        let mut expected = if content == original { vec![0, 1, 2] } else { vec![0, 1] };
        fs::write(&path, content).expect("it can be written");
        let (mut journal, found) = indexes(&path).expect("it opens");
        assert_eq!(found, expected, "cut at {cut}");
        journal.append(&Frame::Entries(&[blank(7)])).expect("it is written");
        expected.push(7);
        assert_eq!(indexes(&path).expect("it opens").1, expected, "cut at {cut}");
    }
}

#[test]
fn a_tail_whose_first_bytes_are_missing_is_cut() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let positions = three_entries(&path);
    let original = fs::read(&path).expect("it can be read");
    for begin in positions[2] + 1..positions[3] {
        let mut content = original.clone();
        content[positions[2]..begin].fill(0);
        fs::write(&path, content).expect("it can be written");
        let found = indexes(&path).expect("it opens").1;
        let lost_nothing = original[positions[2]..begin].iter().all(|byte| *byte == 0);
        assert_eq!(found.len(), if lost_nothing { 3 } else { 2 }, "begins at {begin}");
        let tail = fs::read(&path).expect("it can be read").split_off(positions[2]);
        assert!(lost_nothing || tail.iter().all(|byte| *byte == 0), "the tail was not cleared");
    }
}

#[test]
fn damage_before_an_intact_entry_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let positions = three_entries(&path);
    let original = fs::read(&path).expect("it can be read");
    for at in positions[1]..positions[2] {
        let mut content = original.clone();
        content[at] ^= 0x40;
        fs::write(&path, &content).expect("it can be written");
        let error = indexes(&path).map(|(_, indexes)| indexes).expect_err("it must be refused");
        assert!(matches!(error, StoreError::DamagedWithin { .. }), "byte {at}: {error}");
        assert_eq!(fs::read(&path).expect("it can be read"), content);
    }
}

#[test]
fn a_frame_that_another_node_wrote_does_not_count() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let positions = three_entries(&path);
    let mut content = fs::read(&path).expect("it can be read");
    let foreign = header(NODE_ID + 1);
    content[..HEADER_LEN].copy_from_slice(&foreign);
    fs::write(&path, content).expect("it can be written");
    let (journal, found) = indexes(&path).expect("it opens");
    assert_eq!((found, journal.len()), (Vec::new(), positions[0] as u64));
}

#[test]
fn a_file_cut_short_within_its_zeros_goes_on() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let positions = three_entries(&path);
    let mut content = fs::read(&path).expect("it can be read");
    content.truncate(positions[3]);
    fs::write(&path, content).expect("it can be written");
    let (mut journal, _) = indexes(&path).expect("it opens");
    journal.append(&Frame::Entries(&[blank(3)])).expect("it is written");
    assert_eq!(indexes(&path).expect("it opens").1, [0, 1, 2, 3]);
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path, NODE_ID, &[]).expect("it is made");
    let writable = std::mem::replace(&mut journal.file, File::open(&path).expect("it exists"));
    let first = journal.append(&Frame::Entries(&[blank(0)])).expect_err("the file is open for reading only");
    assert!(matches!(first, StoreError::Io { operation: "write", .. }), "{first}");
    journal.file = writable;
    let second = journal.append(&Frame::Entries(&[blank(0)])).expect_err("it failed before");
    assert!(matches!(second, StoreError::FailedBefore { .. }), "{second}");
    assert_eq!(indexes(&path).expect("it opens").1, Vec::<u64>::new());
}

/// A journal as version 1 wrote it: one frame with the membership of a single node, whose address it did not know.
fn of_version_1() -> Vec<u8> {
    let mut membership = Vec::new();
    membership.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]); // one configuration, one voter
    membership.extend_from_slice(&NODE_ID.to_be_bytes());
    membership.extend_from_slice(&[0, 0, 0, 1]); // one node
    membership.extend_from_slice(&NODE_ID.to_be_bytes());
    membership.extend_from_slice(&7_i32.to_be_bytes());
    let mut body = vec![ENTRIES, 0, 0, 0, 1];
    body.extend_from_slice(&[0; 16]); // term 0, index 0
    body.push(2);
    body.extend_from_slice(&u32::try_from(membership.len()).expect("it is short").to_be_bytes());
    body.extend_from_slice(&membership);

    let mut content = header(NODE_ID);
    content[8..12].copy_from_slice(&1_u32.to_be_bytes());
    let crc = crc32fast::hash(&content[..HEADER_CRC_AT]);
    content[HEADER_CRC_AT..HEADER_CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    content.extend_from_slice(&u32::try_from(body.len()).expect("it is short").to_be_bytes());
    content.extend_from_slice(&checksum(NODE_ID, 64, &body).to_be_bytes());
    content.extend_from_slice(&body);
    content.resize(4096, 0);
    content
}

#[test]
fn a_journal_of_version_1_is_read_and_written_anew() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal");
    fs::write(&path, of_version_1()).expect("it can be written");
    let snapshot = SnapshotFile::open(&directory.path().join("snapshot")).expect("there is none");
    let failures = tokio::sync::watch::channel(None).0;
    let store = LogStore::open(&path, 1, &snapshot, failures).expect("it opens");
    assert_eq!(store.node_id(), NODE_ID);
    drop(store);
    let mut read = Vec::new();
    let journal = Journal::open(&path, |frame| read.push(frame)).expect("it opens").expect("it is there");
    assert!(!journal.is_outdated());
    let [ReadFrame::Entries(entries)] = read.as_slice() else { panic!("{read:?}") };
    let [Entry { payload: EntryPayload::Membership(membership), .. }] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    let node = QuorumNode { broker_id: storage::ids::BrokerId(7), address: None };
    assert_eq!(membership.nodes().collect::<Vec<_>>(), [(&NODE_ID, &node)]);
}
