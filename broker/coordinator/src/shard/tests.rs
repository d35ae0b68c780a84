//! Stories of groups, see [`crate::testing::transcript`].

use crate::testing::transcript::check;

#[test]
fn members_join_share_and_leave() {
    check("members_join_share_and_leave");
}
