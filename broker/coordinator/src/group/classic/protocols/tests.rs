//! Which protocol a group chooses.

use bytes::Bytes;

use super::{Protocols, select};

fn members(each: &[&[&str]]) -> Vec<Protocols> {
    let protocols = |names: &&[&str]| names.iter().map(|name| ((*name).into(), Bytes::new())).collect();
    each.iter().map(|names| Protocols(protocols(names))).collect()
}

fn chosen(each: &[&[&str]]) -> Option<String> {
    select(members(each).iter().map(Protocols::as_slice)).map(|name| name.to_string())
}

#[test]
fn the_protocol_that_most_like_best_is_chosen() {
    let each: [&[&str]; 3] = [&["sticky", "range"], &["range", "sticky"], &["sticky", "range"]];
    assert_eq!(chosen(&each), Some("sticky".to_owned()));
}

#[test]
fn a_protocol_that_one_member_lacks_is_not_chosen() {
    let each: [&[&str]; 3] = [&["sticky", "range"], &["sticky", "range"], &["range"]];
    assert_eq!(chosen(&each), Some("range".to_owned()));
}

#[test]
fn of_two_that_are_liked_alike_the_first_by_name_is_chosen() {
    let each: [&[&str]; 2] = [&["sticky", "range"], &["range", "sticky"]];
    assert_eq!(chosen(&each), Some("range".to_owned()));
}

#[test]
fn nothing_is_chosen_where_nothing_is_shared() {
    assert_eq!(chosen(&[&["sticky"], &["range"]]), None);
    assert_eq!(chosen(&[]), None);
}
