//! TOML with Kafka's names.

use super::*;

#[test]
fn dotted_keys_and_tables_mean_the_same() {
    let dotted = "log.retention.hours = 2\nlog.dirs = \"/data\"\nottla.durability = \"replicated\"\n\
                  auto.create.topics.enable = false\nlog.cleaner.min.cleanable.ratio = 0.25";
    let tables = "auto.create.topics.enable = false\n[log]\ndirs = \"/data\"\ncleaner.min.cleanable.ratio = 0.25\n\
                  [log.retention]\nhours = 2\n[ottla]\ndurability = \"replicated\"";
    let dotted = load_file("a.toml", dotted).unwrap().broker;
    assert_eq!(dotted, load_file("a.toml", tables).unwrap().broker);
    assert_eq!(dotted.topic_defaults.retention_ms, 7_200_000);
    assert_eq!(dotted.topic_defaults.min_cleanable_dirty_ratio, 0.25);
}

#[test]
fn array_is_a_list() {
    let loaded = load_file(
        "a.toml",
        "listeners = [\"PLAINTEXT://localhost:1\", \"EXTRA://localhost:2\"]\n\
                             listener.security.protocol.map = \"PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT\"",
    );
    assert_eq!(loaded.unwrap().broker.listeners.len(), 2);
}

#[test]
fn numbers_may_be_written_as_toml_allows() {
    let loaded =
        load_file("a.toml", "fetch.max.bytes = 0x100000\nsocket.request.max.bytes = 1_000_000").unwrap();
    assert_eq!(loaded.broker.fetch_max_bytes, 1_048_576);
    assert_eq!(loaded.broker.socket_request_max_bytes, 1_000_000);
}

#[test]
fn key_that_begins_another_must_be_quoted() {
    for text in [
        "max.connections = 5\nmax.connections.per.ip = 3\n",
        "max.connections.per.ip = 3\nmax.connections = 5\n",
        "[max]\nconnections = 5\nconnections.per.ip = 3\n",
    ] {
        let sentences = sentences(load_file("a.toml", text));
        let line = if text.starts_with("max.connections =") { 1 } else { 2 };
        assert_eq!(
            sentences,
            [format!(
                "a.toml, line {line}: max.connections is also the beginning of max.connections.per.ip; write it in \
                 quotes, above the first [table]: \"max.connections\" = ..."
            )],
            "{text}"
        );
    }
    let loaded = load_file("a.toml", "\"max.connections\" = 5\nmax.connections.per.ip = 3").unwrap();
    assert_eq!((loaded.broker.max_connections, loaded.broker.max_connections_per_ip), (5, 3));
}

#[test]
fn key_in_two_forms_is_there_twice() {
    assert_eq!(sentences(load_file("a.toml", "\"num.partitions\" = 5\nnum.partitions = 3")).len(), 1);
}

#[test]
fn date_is_no_value() {
    assert_eq!(
        sentences(load_file("a.toml", "broker.rack = 2026-01-01")),
        [
            "a.toml, line 1: broker.rack has a value of type datetime; give it text, a number, true, false, or an array \
          of these"
        ]
    );
}

#[test]
fn syntax_error_names_its_line_and_does_not_hide_the_others() {
    let sentences =
        sentences(load_file("a.toml", "num.partitions = 1\nbroker.rack = \nnum.partition = 3\nx = = 1"));
    assert!(sentences.iter().any(|sentence| sentence.starts_with("a.toml, line 2: ")), "{sentences:?}");
    assert!(
        sentences.iter().any(|sentence| sentence.contains("did you mean num.partitions?")),
        "{sentences:?}"
    );
}
