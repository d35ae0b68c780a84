//! `kill -9` again and again, at moments that a fixed seed chooses, some of them during recovery.

use anyhow::{Context as _, Result, ensure};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wire::{self, Connection};

use crate::load::Load;

const PARTITIONS: i32 = 3;
/// Small enough that crashes meet segments being rolled.
const SEGMENT_BYTES: &str = "1048576";
const CYCLES: u32 = 200;
/// One in so many restarts is killed before it is ready.
const KILLED_STARTS: u32 = 5;

#[test]
fn killed_node_loses_and_doubles_nothing() -> Result<()> {
    if skip_on_foreign_broker("kill_cycles") {
        return Ok(());
    }
    let cycles = std::env::var("OTTLA_TEST_KILLS").map_or(Ok(CYCLES), |count| count.parse())?;
    let mut node = Node::start(&[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created =
        wire::create_topic(&mut connection, "kills", PARTITIONS, &[("segment.bytes", SEGMENT_BYTES)])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    let load = Load::start(node.bootstrap(), "kills", usize::try_from(PARTITIONS)?)?;
    let mut random = 1_u32;
    for cycle in 0..cycles {
        let context = || format!("in cycle {cycle} of {cycles}");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        load.wait_for_acknowledgements(i64::from(1 + (random >> 16) % 400)).with_context(context)?;
        node.kill()?;
        if cycle % KILLED_STARTS == 0 {
            node.kill_while_starting(std::time::Duration::from_millis(u64::from((random >> 8) % 40)))?;
        }
        node.restart().with_context(context)?;
        load.read_back(node.bootstrap()).with_context(context)?;
    }
    eprintln!("{cycles} kills, {} records acknowledged", load.acknowledged());
    load.finish(node.bootstrap())
}
