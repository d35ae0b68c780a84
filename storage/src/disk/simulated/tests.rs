use std::io::ErrorKind;
use std::path::Path;

use super::{Access, Disk, DiskFile, Operation, SimulatedDisk};

fn content(disk: &SimulatedDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), Access::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(bytes)
}

#[test]
fn crash_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, 1 << 20);
        let file = disk.create(Path::new("/a")).unwrap();
        file.write_at(0, &[1; 4096]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_at(4096, &[2; 4096]).unwrap();
        let after = content(&disk.crash(), "/a").unwrap();
        assert_eq!(after[..4096], [1; 4096]);
        if after.len() == 8192 && after[4096] == 2 { kept += 1 } else { lost += 1 }
    }
    assert!(kept > 0);
    assert!(lost > 0);
}

#[test]
fn crash_loses_names_that_were_not_synced_and_never_half_of_a_rename() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, 1 << 20);
        disk.create(Path::new("/a")).unwrap().write_at(0, b"a").unwrap();
        disk.create(Path::new("/b")).unwrap().write_at(0, b"b").unwrap();
        disk.sync_file_system(Path::new("/")).unwrap();
        disk.rename(Path::new("/b"), Path::new("/a")).unwrap();
        let crashed = disk.crash();
        match content(&crashed, "/a").unwrap().as_slice() {
            b"a" => {
                assert_eq!(content(&crashed, "/b").unwrap(), b"b");
                old += 1;
            }
            b"b" => {
                assert_eq!(content(&crashed, "/b"), None);
                new += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(old > 0);
    assert!(new > 0);
}

#[test]
fn same_seed_gives_the_same_crash() {
    let run = || {
        let disk = SimulatedDisk::new(7, 1 << 20);
        let file = disk.create(Path::new("/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        (0..16).for_each(|page| file.write_at(page * 4096, &[page as u8; 4096]).unwrap());
        content(&disk.crash(), "/a")
    };
    assert_eq!(run(), run());
}

#[test]
fn failures_come_at_the_call_that_was_asked_for() {
    let disk = SimulatedDisk::new(1, 1 << 20);
    let file = disk.create(Path::new("/a")).unwrap();
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    file.sync_data().unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
}

#[test]
fn full_disk_keeps_the_partial_allocation_until_it_is_given_back() {
    let disk = SimulatedDisk::new(1, 8192);
    let file = disk.create(Path::new("/a")).unwrap();
    assert!(file.allocate(0..16384).unwrap_err().is_out_of_space());
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 0);
    file.set_len(0).unwrap();
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 8192);
}

#[test]
fn halted_disk_answers_nothing_any_more() {
    let disk = SimulatedDisk::new(1, 8192);
    let file = disk.create(Path::new("/a")).unwrap();
    disk.halt_at(1);
    file.sync_data().unwrap();
    assert!(file.sync_data().is_err());
    assert!(file.len().is_err());
    assert!(disk.is_halted());
}
