//! The settings of subscriptions to clients' metrics. What a pattern means and which intervals there are is checked where they
//! are used. Source: KIP-714, ClientMetricsConfigs.java.

use super::{Key, Scope};
use crate::value::ValueType::{self, Int, List};

const fn subscription(
    name: &'static str,
    value_type: ValueType,
    default: &'static str,
    doc: &'static str,
) -> Key {
    let mut key = Key::topic(name, value_type, default, doc);
    key.scope = Scope::ClientMetrics;
    key
}

pub(super) static KEYS: &[Key] = &[
    subscription(
        "interval.ms",
        Int,
        "300000",
        "How often the clients push their metrics: 100 to 3600000. The shortest of a client's subscriptions holds.",
    ),
    subscription(
        "match",
        List,
        "",
        "Which clients it is for, as NAME=PATTERN with commas between; all have to fit, and none is every client. The names \
         are client_instance_id, client_id, client_software_name, client_software_version, client_source_address and \
         client_source_port.",
    ),
    subscription(
        "metrics",
        List,
        "",
        "How the names of the metrics begin that are wanted; * is every metric.",
    ),
];
