//! Each mistake is one plain sentence with the key, the value and the way out, and all are said at once.

use super::*;

/// The one sentence for one `--set`.
fn sentence(set: &str) -> String {
    let sentences = sentences(load_set(&[set]));
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    sentences.concat()
}

#[test]
fn all_mistakes_of_all_sources_are_said_at_once() {
    let sources = Sources {
        file: Some((
            PathBuf::from("node.toml"),
            "num.partitions = 0\nlog.retention.mss = 5\nlisteners = \"nonsense\"\ncontroller.quorum.voters = \"1@a:1,2@b:1\""
                .to_owned(),
        )),
        environment: vec![
            ("OTTLA_MESSAGE_MAX_BYTES".to_owned(), "large".to_owned()),
            ("OTTLA_NUM_PARTITION".to_owned(), "1".to_owned()),
        ],
        set: vec!["ottla.durability=never".to_owned(), "verbose".to_owned(), "node.id=1".to_owned(), "broker.id=2".to_owned()],
    };
    assert_eq!(
        sentences(load(&sources)),
        [
            "environment: OTTLA_NUM_PARTITION sets no key; did you mean OTTLA_NUM_PARTITIONS?",
            "--set verbose: this is not of the form KEY=VALUE",
            "node.toml, line 2: there is no key log.retention.mss; did you mean log.retention.ms?",
            "environment variable OTTLA_MESSAGE_MAX_BYTES: Invalid value large for configuration message.max.bytes: Not a \
             number of type INT; give it a number of at least 0, or remove it for 1048588",
            "node.toml, line 1: Invalid value 0 for configuration num.partitions: Value must be at least 1; give it a \
             number of at least 1, or remove it for 1",
            "--set: Invalid value never for configuration ottla.durability: String must be one of: flushed, replicated; \
             give it one of these, or remove it for flushed",
            "node.toml, line 3: Invalid value nonsense for configuration listeners: nonsense is not of the form \
             NAME://HOST:PORT, such as PLAINTEXT://localhost:9092",
            "--set: You must set `node.id` to the same value as `broker.id`. Remove broker.id.",
            "node.toml, line 4: controller.quorum.voters names 2 nodes: a replica set is named in ottla.replica.set instead; \
             set that, or remove controller.quorum.voters to run this node alone",
        ]
    );
}

#[test]
fn unknown_key_names_the_nearest_or_none() {
    assert_eq!(sentence("listener=x"), "--set: there is no key listener; did you mean listeners?");
    assert_eq!(sentence("durability=x"), "--set: there is no key durability; did you mean ottla.durability?");
    assert_eq!(
        sentence("quite.another.thing=x"),
        "--set: there is no key quite.another.thing; remove it, or see `ottla config` for the keys"
    );
}

#[test]
fn key_of_a_topic_names_the_key_of_the_broker() {
    assert_eq!(
        sentence("retention.ms=5"),
        "--set: there is no key retention.ms; it is a setting of topics, and the broker's default for it is \
         log.retention.ms"
    );
}

#[test]
fn what_would_weaken_security_is_refused() {
    for set in [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "create.topic.policy.class.name=org.example.Policy",
        "listeners=SASL_SSL://:9093",
        "listener.name.plaintext.max.connections=5",
        "unclean.leader.election.enable=true",
        "remote.log.storage.system.enable=true",
    ] {
        assert!(sentence(set).starts_with("--set: "), "{set}");
    }
}

#[test]
fn default_of_a_refused_key_is_accepted_without_warning() {
    let loaded = load_set(&["unclean.leader.election.enable=FALSE", "authorizer.class.name="]).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn listener_of_another_protocol_says_what_to_use() {
    assert_eq!(
        sentence("listeners=SSL://:9093"),
        "--set: Invalid value SSL://:9093 for configuration listeners: listener SSL uses SSL, which is not served yet; \
         use PLAINTEXT"
    );
}

#[test]
fn secret_is_never_repeated() {
    let sources =
        Sources { set: vec!["listener.name.a.ssl.key.password=hunter2".to_owned()], ..Sources::default() };
    assert!(!sentences(load(&sources)).concat().contains("hunter2"));
    let loaded = load_set(&["ssl.key.password=hunter2"]).unwrap();
    assert!(!loaded.warnings.concat().contains("hunter2"));
}

#[test]
fn more_than_one_directory_is_refused() {
    assert_eq!(
        sentence("log.dirs=/a,/b"),
        "--set: log.dirs=/a,/b names 2 directories: exactly one is supported, for now"
    );
    for name in ["log.dirs", "log.dir"] {
        let empty = format!("--set: {name} is empty: name a directory, or remove it for ./ottla-data");
        assert_eq!(sentence(&format!("{name}=")), empty);
    }
}

#[test]
fn retention_of_nothing_is_refused() {
    assert!(sentence("log.retention.ms=0").contains("greater than or equal to 1"));
    assert_eq!(load_set(&["log.retention.hours=-1"]).unwrap().broker.topic_defaults.retention_ms, -1);
}

#[test]
fn malformed_character_escape_names_its_line() {
    assert_eq!(
        sentences(load_file("a.properties", "\nbroker.rack=\\u00g1")),
        ["a.properties, line 2: a \\u is not followed by the four hexadecimal digits of a character"]
    );
}
