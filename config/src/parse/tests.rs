//! One behaviour a test: what each form of configuration means, and what is said when it is wrong.

mod kafka_file;
mod mistakes;
mod toml_file;

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::value::Value;

/// Loads a file of that name and text alone.
fn load_file(name: &str, text: &str) -> Result<Loaded, ConfigErrors> {
    load(&Sources { file: Some((PathBuf::from(name), text.to_owned())), ..Sources::default() })
}

fn load_set(set: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(&Sources { set: set.iter().map(|&set| set.to_owned()).collect(), ..Sources::default() })
}

fn load_environment(variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let environment = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    load(&Sources { environment, ..Sources::default() })
}

/// The lines that a user reads.
fn sentences(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_set_is_the_default_without_warnings() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.broker, BrokerConfig::default());
    assert!(loaded.explicit.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn command_line_wins_over_environment_over_file() {
    let sources = |environment: &[(&str, &str)], set: &[&str]| Sources {
        file: Some((PathBuf::from("a.toml"), "num.partitions = 2".to_owned())),
        environment: environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        set: set.iter().map(|&set| set.to_owned()).collect(),
    };
    let partitions = |sources| load(&sources).unwrap().broker.num_partitions;
    assert_eq!(partitions(sources(&[], &[])), 2);
    assert_eq!(partitions(sources(&[("OTTLA_NUM_PARTITIONS", "3")], &[])), 3);
    let loaded =
        load(&sources(&[("OTTLA_NUM_PARTITIONS", "3")], &["num.partitions=4", "num.partitions=5"])).unwrap();
    assert_eq!(loaded.broker.num_partitions, 5);
    assert_eq!(
        loaded.explicit.get("num.partitions"),
        Some(&Explicit { value: "5".to_owned(), source: Source::CommandLine })
    );
}

#[test]
fn value_that_lost_is_not_validated() {
    let sources = Sources {
        file: Some((
            PathBuf::from("server.properties"),
            "authorizer.class.name=org.example.Rules".to_owned(),
        )),
        set: vec!["authorizer.class.name=".to_owned()],
        ..Sources::default()
    };
    assert!(load(&sources).is_ok());
}

#[test]
fn key_of_our_own_has_its_prefix_once_in_the_environment() {
    assert_eq!(variable_of("ottla.durability"), "OTTLA_DURABILITY");
    assert_eq!(variable_of("num.partitions"), "OTTLA_NUM_PARTITIONS");
    let loaded = load_environment(&[("OTTLA_DURABILITY", "replicated"), ("PATH", "/bin")]).unwrap();
    assert_eq!(loaded.broker.durability, crate::broker::Durability::Replicated);
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut variables: Vec<String> = keys::of_broker().map(|key| variable_of(key.name)).collect();
    variables.extend(OTHER_VARIABLES.iter().map(|&variable| variable.to_owned()));
    let count = variables.len();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), count);
}

#[test]
fn variable_of_the_command_line_is_no_setting() {
    assert!(load_environment(&[("OTTLA_CONFIG", "/etc/ottla.toml"), ("OTTLA_LOG", "debug")]).is_ok());
}

#[test]
fn broker_id_alone_is_node_id() {
    let loaded = load_set(&["broker.id=7"]).unwrap();
    assert_eq!(loaded.broker.node_id, 7);
    assert_eq!(loaded.explicit.get("node.id"), loaded.explicit.get("broker.id"));
}

#[test]
fn node_id_is_shown_as_broker_id_too() {
    let loaded = load_set(&["node.id=7"]).unwrap();
    assert_eq!(loaded.explicit.get("broker.id").unwrap().value, "7");
    assert_eq!(load_set(&["node.id=7", "broker.id=-1"]).unwrap().broker.node_id, 7);
}

#[test]
fn file_without_extension_is_what_it_looks_like() {
    for (text, partitions) in [
        ("num.partitions = 4", 4),
        ("[num]\npartitions = 4", 4),
        ("num.partitions: 4\nlog.dirs=/var/lib/kafka", 4),
    ] {
        assert_eq!(load_file("settings", text).unwrap().broker.num_partitions, partitions, "{text}");
    }
}

#[test]
fn properties_follow_java() {
    let text = "# a comment\n! another\n\n  num.partitions : 3\r\nbroker.rack   zone\\ a\\u00e9\\\n    b\n\
                log.retention.ms=\\\n   1000\nlisteners=PLAINTEXT\\://localhost\\:1\nlog.dirs==x";
    let loaded = load_file("server.properties", text).unwrap();
    assert_eq!(loaded.broker.num_partitions, 3);
    assert_eq!(loaded.broker.broker_rack.as_deref(), Some("zone a\u{e9}b"));
    assert_eq!(loaded.broker.topic_defaults.retention_ms, 1000);
    assert_eq!(loaded.broker.listeners, vec![crate::broker::Listener::new("PLAINTEXT", "localhost", 1)]);
    assert_eq!(loaded.broker.log_dir, PathBuf::from("=x"));
    assert_eq!(
        loaded.explicit.get("log.retention.ms").unwrap().source,
        Source::File { path: PathBuf::from("server.properties"), line: 7 }
    );
}

#[test]
fn last_of_two_values_counts_in_properties_with_a_warning() {
    let loaded = load_file("a.properties", "num.partitions=1\nnum.partitions=2").unwrap();
    assert_eq!(loaded.broker.num_partitions, 2);
    assert_eq!(
        loaded.warnings,
        ["a.properties, line 2: num.partitions is there again, and the last one counts"]
    );
}

#[test]
fn layers_resolve_to_what_was_loaded() {
    let loaded = load_set(&["num.partitions=9", "log.retention.hours=1"]).unwrap();
    assert_eq!(BrokerConfig::resolve(&loaded.layers()), Ok(loaded.broker));
}

/// A valid value of each honoured key of the broker, printed.
fn setting() -> impl Strategy<Value = (&'static str, String)> {
    let keys: Vec<_> = keys::of_broker().filter(|key| key.support == Support::Honoured).collect();
    (prop::sample::select(keys), any::<i32>()).prop_filter_map("not valid for the key", |(key, number)| {
        let text = match key.read(&number.to_string()) {
            Ok(Value::Integer(number)) => number.to_string(),
            Ok(_) | Err(_) => key.default?.to_owned(),
        };
        key.read(&text).is_ok().then_some((key.name, text))
    })
}

proptest! {
    #[test]
    fn printed_values_read_back_the_same(settings in prop::collection::vec(setting(), 0..20)) {
        for (name, text) in settings {
            let key = keys::broker_key(name).unwrap();
            let value = key.read(&text).unwrap();
            prop_assert_eq!(key.read(&value.to_string()).unwrap(), value);
        }
    }

    #[test]
    fn toml_and_properties_and_set_mean_the_same(settings in prop::collection::btree_map(
        prop::sample::select(keys::of_broker().filter(|key| key.support == Support::Honoured
            && key.value_type == crate::value::ValueType::Int).map(|key| key.name).collect::<Vec<_>>()),
        any::<i32>(), 0..8,
    )) {
        let lines = |form: fn(&str, i32) -> String| {
            settings.iter().map(|(name, value)| form(name, *value)).collect::<Vec<_>>()
        };
        let toml = load_file("a.toml", &lines(|name, value| format!("\"{name}\" = {value}")).join("\n"));
        let properties = load_file("a.properties", &lines(|name, value| format!("{name}={value}")).join("\n"));
        let set = load(&Sources { set: lines(|name, value| format!("{name}={value}")), ..Sources::default() });
        match (toml, properties, set) {
            (Ok(toml), Ok(properties), Ok(set)) => {
                prop_assert_eq!(&toml.broker, &properties.broker);
                prop_assert_eq!(&toml.broker, &set.broker);
            }
            (toml, properties, set) => prop_assert!(toml.is_err() && properties.is_err() && set.is_err()),
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(name in "[a-z]{1,3}|a\\.toml|a\\.properties", text in "(?s).{0,200}") {
        let _outcome = load_file(&name, &text);
    }

    #[test]
    fn no_text_like_a_file_makes_a_reader_panic(text in "([a-z\\[\\]\\.=\"'\\\\ \n#:]|listeners|log\\.dirs|::1|u00e9){0,80}") {
        for name in ["a", "a.toml", "a.properties"] {
            let _outcome = load_file(name, &text);
        }
        let _outcome = load_set(&[text.as_str(), &format!("listeners={text}"), &format!("ottla.http.listener={text}")]);
    }
}
