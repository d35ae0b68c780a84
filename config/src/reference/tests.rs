use std::fs;
use std::path::Path;

use super::*;

/// `UPDATE_GOLDEN=1 cargo test -p config` writes the file anew.
#[test]
fn reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, markdown()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == markdown(),
        "config/reference.md is out of date; run UPDATE_GOLDEN=1 cargo test -p config"
    );
}

#[test]
fn text_and_page_name_every_key() {
    for reference in [text(), markdown()] {
        for key in keys::all() {
            assert!(reference.contains(key.name), "{} is missing", key.name);
        }
    }
}

#[test]
fn text_fits_a_terminal() {
    for line in text().lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn key_of_a_broker_and_of_a_topic_is_explained_twice() {
    let text = key("min.insync.replicas").unwrap();
    assert_eq!(text.matches("min.insync.replicas\n").count(), 2, "{text}");
}

#[test]
fn key_that_is_not_there_has_no_entry() {
    assert_eq!(key("no.such.key"), None);
}

#[test]
fn entry_says_what_differs_from_kafka_and_why() {
    let text = key("listeners").unwrap();
    assert!(text.contains("\"PLAINTEXT://:9092\"; here it is another"), "{text}");
    assert!(text.contains("Environment: OTTLA_LISTENERS"), "{text}");
}
