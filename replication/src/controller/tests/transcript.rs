//! Stories of a set of nodes as text, which are documentation and tests at once.
//!
//! A line that begins with `#` is prose, one with `>` something that happens; what follows it, indented, is what the
//! controller makes of it: the partitions and nodes that change, or why it refuses.
//! `UPDATE_GOLDEN=1 cargo test -p replication` writes the latter anew.

mod script;

use script::Script;
use std::path::Path;

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(name).with_extension("txt");
    let written = std::fs::read_to_string(&path).expect("the transcript is there");
    let played = play(&written);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).expect("the transcript can be written");
        return;
    }
    assert_eq!(played, written, "{name}: run UPDATE_GOLDEN=1 cargo test -p replication if it is to be so");
}

fn play(written: &str) -> String {
    let mut script = Script::new();
    let mut played = String::new();
    for line in written.lines().filter(|line| !line.starts_with(' ')) {
        played.push_str(line);
        played.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            for outcome in script.run(command) {
                played.push_str(&format!("    {outcome}\n"));
            }
        }
    }
    played
}

macro_rules! transcripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

transcripts! {
    a_node_dies
    the_last_in_sync_replica_dies
    an_eligible_replica_leads
    a_wiped_node_returns
    a_node_stops
    a_partition_moves
    leaders_are_balanced
    a_single_node_grows
    in_sync_replicas_change
    a_node_leaves_for_good
}
