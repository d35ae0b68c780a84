//! The node: who it is, where it listens, what it lets its clients do.

use super::Key;
use crate::value::Rule::{AddressLimits, AtLeast, Between};
use crate::value::ValueType::{Boolean, Int, List, Long, String};

const TUNED: &str = "Linux sizes the buffers by the line, which a fixed size switches off";
const LOOPBACK: &str = "nothing listens beyond this machine without being told to";

pub(super) static KEYS: &[Key] = &[
    Key::broker("node.id", Int, Some("1"), "This node's number in its cluster.")
        .rule(AtLeast(0))
        .differs(None, "a node starts without configuration"),
    Key::broker(
        "broker.id",
        Int,
        Some("-1"),
        "The old name of node.id; where both are set they must be the same, and -1 is unset.",
    )
    .rule(AtLeast(-1)),
    Key::broker("broker.rack", String, None, "The rack or zone of this node, which clients are told."),
    Key::broker(
        "listeners",
        List,
        Some("PLAINTEXT://localhost:9092"),
        "What the Kafka protocol is served on, as NAME://HOST:PORT with commas between: localhost is both loopback \
         addresses, no host is every address, port 0 picks a free one.",
    )
    .at_start()
    .differs(Some("PLAINTEXT://:9092"), LOOPBACK),
    Key::broker(
        "advertised.listeners",
        List,
        None,
        "What clients are told to connect to, by listener name; without it each client is told the local address of \
         its own connection.",
    ),
    Key::broker(
        "listener.security.protocol.map",
        String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        "The security protocol of each listener name; listeners of protocols other than PLAINTEXT are refused.",
    )
    .at_start(),
    Key::broker(
        "fetch.max.bytes",
        Int,
        Some("57671680"),
        "The most that one fetch answers, unless its first batch alone is larger.",
    )
    .rule(AtLeast(1024)),
    Key::broker(
        "max.incremental.fetch.session.cache.slots",
        Int,
        Some("1000"),
        "The most fetch sessions that are kept; clients beyond it send their partitions with every fetch.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "max.request.partition.size.limit",
        Int,
        Some("2000"),
        "The most partitions that one DescribeTopicPartitions answer lists.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "socket.request.max.bytes",
        Int,
        Some("104857600"),
        "The largest request that is read; a larger one closes its connection.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "socket.receive.buffer.bytes",
        Int,
        Some("-1"),
        "SO_RCVBUF of client connections; -1 leaves it to the operating system.",
    )
    .rule(AtLeast(-1))
    .differs(Some("102400"), TUNED),
    Key::broker(
        "socket.send.buffer.bytes",
        Int,
        Some("-1"),
        "SO_SNDBUF of client connections; -1 leaves it to the operating system.",
    )
    .rule(AtLeast(-1))
    .differs(Some("102400"), TUNED),
    Key::broker("socket.listen.backlog.size", Int, Some("50"), "The connections that may wait to be accepted.")
        .rule(AtLeast(1)),
    Key::broker(
        "connections.max.idle.ms",
        Long,
        Some("600000"),
        "A connection without a request for this long is closed; a negative value keeps it for ever.",
    ),
    Key::dynamic("max.connections", Int, Some("10000"), "The most client connections at once.")
        .rule(AtLeast(0))
        .differs(Some("2147483647"), "a limit that nobody chose is chosen by the machine when it runs out of memory"),
    Key::dynamic(
        "max.connections.per.ip",
        Int,
        Some("2147483647"),
        "The most client connections at once from one address.",
    )
    .rule(AtLeast(1)),
    Key::dynamic(
        "max.connections.per.ip.overrides",
        String,
        Some(""),
        "What max.connections.per.ip is for single addresses, as ADDRESS:COUNT with commas between; no host names.",
    )
    .rule(AddressLimits),
    Key::dynamic(
        "max.connection.creation.rate",
        Int,
        Some("2147483647"),
        "The most connections that are accepted in a second; further ones wait in the system's backlog.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "num.partitions",
        Int,
        Some("1"),
        "The partitions of a topic whose creator does not say how many.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "default.replication.factor",
        Int,
        Some("1"),
        "The replicas of a topic whose creator does not say how many; in a replica set no more than there are nodes.",
    )
    .rule(Between(1, 32767))
    .in_set("3"),
    Key::broker(
        "auto.create.topics.enable",
        Boolean,
        Some("true"),
        "Whether a topic is made when a client first produces to it or asks for it.",
    ),
    Key::broker("delete.topic.enable", Boolean, Some("true"), "Whether clients may delete topics."),
];
