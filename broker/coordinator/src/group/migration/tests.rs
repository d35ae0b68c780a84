//! Stories of groups that change their protocol, see [`crate::testing::transcript`].

mod limits;

use crate::testing::transcript::check;

#[test]
fn a_group_changes_its_protocol_member_by_member() {
    check("a_group_changes_its_protocol_member_by_member");
}

#[test]
fn classic_members_in_a_consumer_group() {
    check("classic_members_in_a_consumer_group");
}

#[test]
fn empty_groups_change_their_protocol() {
    check("empty_groups_change_their_protocol");
}

#[test]
fn migrations_that_are_refused() {
    check("migrations_that_are_refused");
}

#[test]
fn static_members_change_their_protocol() {
    check("static_members_change_their_protocol");
}

#[test]
fn nothing_is_unread_or_read_twice_between_the_protocols() {
    check("nothing_is_unread_or_read_twice_between_the_protocols");
}
