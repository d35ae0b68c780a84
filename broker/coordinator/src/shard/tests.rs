//! Stories of groups, see [`crate::testing::transcript`].

mod conversion;
mod limits;
mod properties;

use crate::testing::transcript::check;

#[test]
fn members_join_share_and_leave() {
    check("members_join_share_and_leave");
}

#[test]
fn a_refused_append_changes_nothing() {
    check("a_refused_append_changes_nothing");
}

#[test]
fn a_shard_is_loaded_from_its_log() {
    check("a_shard_is_loaded_from_its_log");
}

#[test]
fn joining_takes_its_time() {
    check("joining_takes_its_time");
}

#[test]
fn members_that_go_missing() {
    check("members_that_go_missing");
}

#[test]
fn offsets_are_kept_and_forgotten() {
    check("offsets_are_kept_and_forgotten");
}

#[test]
fn reads_tell_what_is_committed() {
    check("reads_tell_what_is_committed");
}

#[test]
fn requests_that_are_refused() {
    check("requests_that_are_refused");
}

#[test]
fn static_members_come_back() {
    check("static_members_come_back");
}
