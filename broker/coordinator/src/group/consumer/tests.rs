//! Stories of consumer groups, see [`crate::testing::transcript`].

mod limits;
mod loading;

use crate::testing::transcript::check;

#[test]
fn members_of_the_consumer_protocol_share() {
    check("members_of_the_consumer_protocol_share");
}

#[test]
fn static_consumers_come_back() {
    check("static_consumers_come_back");
}

#[test]
fn consumers_subscribe_by_pattern() {
    check("consumers_subscribe_by_pattern");
}

#[test]
fn topics_of_a_consumer_group_change() {
    check("topics_of_a_consumer_group_change");
}

#[test]
fn consumers_that_are_late() {
    check("consumers_that_are_late");
}

#[test]
fn heartbeats_that_are_refused() {
    check("heartbeats_that_are_refused");
}

#[test]
fn the_target_is_computed_once_in_a_while() {
    check("the_target_is_computed_once_in_a_while");
}

#[test]
fn members_choose_the_assignor() {
    check("members_choose_the_assignor");
}

#[test]
fn consumers_commit_in_an_older_epoch() {
    check("consumers_commit_in_an_older_epoch");
}

#[test]
fn reads_of_a_consumer_group_tell_what_is_committed() {
    check("reads_of_a_consumer_group_tell_what_is_committed");
}
