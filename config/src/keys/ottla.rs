//! Our own keys: what Apache Kafka has no name for.

use super::Key;
use crate::value::Rule;
use crate::value::ValueType::{Boolean, Int, List, Long, String};

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
        "ottla.replica.set",
        List,
        Some(""),
        "The nodes of a replica set, this one among them, as ID@HOST:PORT with commas between: the host and port are \
         those of its ottla.peer.listener. Empty is a single node.",
    ),
    Key::ours(
        "ottla.peer.listener",
        String,
        Some(""),
        "HOST:PORT where the other nodes of the replica set connect; empty is what ottla.replica.set says of this node.",
    ),
    Key::ours(
        "ottla.peer.tls.certificate",
        String,
        Some(""),
        "The PEM file with this node's certificate for the other nodes, which names it as node-ID; `ottla cluster \
         certificates` makes one for each node.",
    ),
    Key::ours("ottla.peer.tls.key", String, Some(""), "The PEM file with the private key of that certificate."),
    Key::ours(
        "ottla.peer.tls.ca",
        String,
        Some(""),
        "The PEM file with the certificate of the authority that signed those of all nodes, and nobody else's.",
    ),
    Key::ours(
        "ottla.peer.allow.plaintext",
        Boolean,
        Some("false"),
        "Whether nodes on different machines may talk in plain text: whoever reaches a node then reads and changes \
         everything.",
    ),
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
    Key::ours(
        "ottla.client.metrics.enable",
        Boolean,
        Some("false"),
        "Whether clients may push their metrics (KIP-714), which /metrics then shows; `kafka-client-metrics` says which \
         clients push what, and how often.",
    ),
    // Many times what a flush takes on a disk that is well, and a tenth of what clients wait for. Smaller names requests
    // that nobody misses.
    Key::ours(
        "ottla.slow.request.ms",
        Long,
        Some("1000"),
        "A request that takes longer is counted, and some are named in the log with where the time went; the waiting of \
         fetches for records and of members for others is left out. 0 names none.",
    )
    .rule(Rule::AtLeast(0)),
];
