//! Transcripts: stories of groups as text, which are documentation and tests at once.
//!
//! A line that begins with `#` is prose, one with `>` something that happens; what follows it, indented, is what comes
//! of it. `UPDATE_GOLDEN=1 cargo test -p coordinator` writes the latter anew.

mod consumer;
mod print;
mod script;

use std::path::Path;

use script::Script;

/// Plays the story of this name, and compares what comes of it with what is written.
pub(crate) fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(name).with_extension("txt");
    let written = std::fs::read_to_string(&path).expect("the transcript is there");
    let played = play(&written);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).expect("the transcript can be written");
        return;
    }
    assert_eq!(played, written, "{name}: run UPDATE_GOLDEN=1 cargo test -p coordinator if it is to be so");
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
