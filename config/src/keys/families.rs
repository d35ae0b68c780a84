//! Keys that are known by how they begin, since they go on with names that plug-ins or users chose.

use super::Support;

/// All keys that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// How they begin, with the last `.`.
    pub prefix: &'static str,
    /// What becomes of them; never [`Support::Honoured`].
    pub support: Support,
}

/// Every family.
pub static FAMILIES: &[Family] = &[
    inert("zookeeper.", "there is no ZooKeeper here; the node keeps its metadata by itself"),
    inert("password.encoder.", "there is no ZooKeeper here to keep passwords in"),
    inert("confluent.", "it belongs to another broker"),
    inert("cruise.control.", "it belongs to a plug-in, and this broker cannot load Java classes"),
    inert("rsm.config.", "there is no tiered storage"),
    inert("rlmm.config.", "there is no tiered storage"),
    Family {
        prefix: "listener.name.",
        support: Support::Refused { why: "settings for one listener alone are not there yet" },
    },
    Family {
        prefix: "config.providers.",
        support: Support::Refused {
            why: "values are taken as they stand; write them out, or give them by environment",
        },
    },
];

const fn inert(prefix: &'static str, why: &'static str) -> Family {
    Family { prefix, support: Support::Inert { why } }
}
