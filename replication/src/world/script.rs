//! Stories of a partition as text, which are documentation and tests at once.
//!
//! In `replication/transcripts`, a line that begins with `#` is prose, one with `>` something that happens; what follows it,
//! indented, is what comes of it: what is said, and then whose state has changed.
//! `UPDATE_GOLDEN=1 cargo test -p replication` writes the latter anew.

use super::{Role, World};
use std::path::Path;
use std::time::Duration;
use storage::ids::{BrokerId, Offset};

/// A story that is being played.
struct Script {
    world: World,
    /// What was last printed of each node and of the controller.
    printed: Vec<String>,
}

impl Script {
    fn new() -> Self {
        let world = World::new(&[1, 2, 3], 2, None);
        let mut script = Self { world, printed: Vec::new() };
        script.printed = script.states();
        script
    }

    /// Carries out a command, and returns what comes of it.
    fn run(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.act(&words).unwrap_or_else(|violation| panic!("{command}: {violation}"));
        self.world.check_disks().unwrap_or_else(|violation| panic!("{command}: {violation}"));
        let mut lines: Vec<_> = std::mem::take(&mut self.world.events);
        let states = self.states();
        lines.extend(states.iter().filter(|state| !self.printed.contains(state)).cloned());
        self.printed = states;
        lines
    }

    fn act(&mut self, words: &[&str]) -> Result<(), super::Violation> {
        let world = &mut self.world;
        match words {
            ["all", "learn"] => world.learn_all(),
            ["the", "controller", "decides"] => {
                let requests = std::mem::take(&mut world.requests);
                requests.iter().try_for_each(|request| world.decide(request))
            }
            ["the", "controller", "fences", id] => quietly(|| world.controller.fence(broker(id))),
            ["the", "controller", "unfences", id] => quietly(|| world.controller.unfence(broker(id))),
            ["the", "controller", "elects", id] => quietly(|| world.controller.move_leader(broker(id))),
            [time, "pass"] => {
                world.wait(Duration::from_millis(time.trim_end_matches("ms").parse().expect("a time")))
            }
            [id, "learns"] => world.learn(broker(id), world.controller.latest_index()),
            [id, "fetches"] => world.exchange(broker(id)),
            [id, "writes", "one", "record"] => write(world, broker(id), 1),
            [id, "writes", count, "records"] => write(world, broker(id), count.parse().expect("a count")),
            [id, "flushes"] => flush(world, broker(id), None),
            [id, "flushes", "to", end] => {
                flush(world, broker(id), Some(Offset(end.parse().expect("an offset"))))
            }
            [id, "crashes"] => quietly(|| world.crash(broker(id), Offset(0))),
            [id, "starts"] => quietly(|| world.start(broker(id))),
            _ => panic!("no command: {words:?}"),
        }
    }

    fn states(&self) -> Vec<String> {
        let partition = self.world.controller.latest().partition();
        let list = |brokers: &[BrokerId]| {
            let names: Vec<_> = brokers.iter().map(ToString::to_string).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let leader = partition.leader.map_or("none".to_owned(), |leader| leader.to_string());
        let mut states = vec![format!(
            "controller: leader {leader} in epoch {}; ISR {}; eligible leaders {}",
            partition.leader_epoch,
            list(&partition.isr),
            list(&partition.eligible_leader_replicas)
        )];
        states.extend(self.world.nodes.iter().map(|(id, node)| {
            let role = match &node.role {
                Role::None if node.is_running => "waits for its registration".to_owned(),
                Role::None => "is down".to_owned(),
                Role::Leader(leader) => format!("leads epoch {}", leader.leader_epoch()),
                Role::Follower(follower) => match follower.leader() {
                    Some(leader) => format!("follows {leader} in epoch {}", follower.leader_epoch()),
                    None => format!("waits for a leader in epoch {}", follower.leader_epoch()),
                },
            };
            let (end, durable_end) = (node.log.end(), node.log.durable_end());
            format!(
                "{id}: {role}; log to {end}, on disk to {durable_end}, high watermark {}",
                node.high_watermark
            )
        }));
        states
    }
}

fn broker(id: &str) -> BrokerId {
    BrokerId(id.parse().expect("the id of a broker"))
}

fn quietly(act: impl FnOnce()) -> Result<(), super::Violation> {
    act();
    Ok(())
}

fn write(world: &mut World, id: BrokerId, count: usize) -> Result<(), super::Violation> {
    for _ in 0..count {
        if !world.write(id)? {
            break;
        }
    }
    Ok(())
}

/// A flush, and the word of it reaching the leader.
fn flush(world: &mut World, id: BrokerId, end: Option<Offset>) -> Result<(), super::Violation> {
    world.flush(id, end.unwrap_or(world.node(id).log.end()))?;
    (0..world.connections.len()).try_for_each(|index| world.deliver_to_leader(index))
}

/// Plays the story of this name, and compares what comes of it with what is written.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(name).with_extension("txt");
    let written = std::fs::read_to_string(&path).expect("the transcript is there");
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
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).expect("the transcript can be written");
        return;
    }
    assert_eq!(played, written, "{name}: run UPDATE_GOLDEN=1 cargo test -p replication if it is to be so");
}

#[test]
fn a_write_travels_to_three_replicas() {
    check("a-write-travels-to-three-replicas");
}

#[test]
fn a_slow_follower_leaves_the_isr_and_returns() {
    check("a-slow-follower-leaves-and-returns");
}

#[test]
fn a_new_leader_where_logs_part() {
    check("a-new-leader-where-logs-part");
}

#[test]
fn too_few_replicas() {
    check("too-few-replicas");
}
