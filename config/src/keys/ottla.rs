//! Our own keys: what Apache Kafka has no name for.

use super::{Key, Support};
use crate::value::Rule;
use crate::value::ValueType::{Int, List, Long, String};

pub(super) static KEYS: &[Key] = &[
    Key::ours(
        "ottla.durability",
        String,
        Some("flushed"),
        "When a record counts as stored: once it is on the disk (flushed), or once it is in the page cache as with \
         Apache Kafka (replicated).",
    )
    .rule(Rule::OneOf(&["flushed", "replicated"])),
    Key::ours(
        "ottla.http.listener",
        String,
        Some("127.0.0.1:9080"),
        "HOST:PORT for health and metrics over HTTP; empty is off, port 0 picks a free one.",
    ),
    Key::ours(
        "ottla.peer.listener",
        String,
        Some(""),
        "HOST:PORT where the other nodes of a replica set connect; empty is off.",
    )
    .support(Support::Refused { why: REPLICA_SET }),
    Key::ours(
        "ottla.replica.set",
        List,
        Some(""),
        "The nodes of a replica set, this one among them, as ID@HOST:PORT with commas between; empty is a single node.",
    )
    .support(Support::Refused { why: REPLICA_SET }),
    // Shorter costs CPU (back to back, a flusher took 1.6 CPU-seconds/GB where 2 ms took 0.34); longer costs latency.
    Key::ours(
        "ottla.flush.window.ms",
        Int,
        Some("2"),
        "The shortest time from the start of one round of flushing to the start of the next while records keep \
         arriving; 0 is none.",
    )
    .rule(Rule::Between(0, 1000)),
    // Smaller flushes more often than the disk gains by it; larger makes a round under load longer than the window.
    Key::ours(
        "ottla.flush.window.bytes",
        Long,
        Some("262144"),
        "So many bytes waiting to be flushed start a round before the window ends.",
    )
    .rule(Rule::AtLeast(1)),
    // A sixteenth of what a small disk has; it must hold what the metadata log, checkpoints and indexes still write
    // while topics are deleted to make room. Larger refuses records that would fit.
    Key::ours(
        "ottla.free.space.floor.bytes",
        Long,
        Some("268435456"),
        "With less free space than this on the data directory's disk, records are refused until there is more; what \
         is stored stays readable and deletable.",
    )
    .rule(Rule::AtLeast(0)),
];

const REPLICA_SET: &str = "replica sets are not there yet, so this node can only run alone";
