//! Settings that are accepted and change nothing here, and how a log says so: in one sentence for all of them.

use std::borrow::Cow;

use crate::broker::BrokerLayers;
use crate::keys::{self, Support};
use crate::parse::nearest::nearest;

/// What such settings are, by reason, in the order in which the reasons came up.
#[derive(Default)]
pub(crate) struct WithoutEffect {
    by_reason: Vec<(Cow<'static, str>, Vec<String>)>,
}

impl WithoutEffect {
    pub(crate) fn add(&mut self, name: String, why: Cow<'static, str>) {
        match self.by_reason.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, names)) => names.push(name),
            None => self.by_reason.push((why, vec![name])),
        }
    }

    pub(crate) fn sentence(&self) -> Option<String> {
        let reasons: Vec<String> =
            self.by_reason.iter().map(|(why, names)| format!("{} ({why})", names.join(", "))).collect();
        (!reasons.is_empty()).then(|| format!("settings that change nothing here: {}", reasons.join("; ")))
    }
}

/// Why a setting of the broker changes nothing; none where it has an effect.
#[must_use]
pub fn reason(name: &str) -> Option<Cow<'static, str>> {
    let support = match keys::broker_key(name) {
        Some(key) => Some(key.support),
        None => keys::family(name).map(|family| family.support),
    };
    match support {
        Some(Support::Inert { why }) => Some(why.into()),
        Some(Support::Honoured | Support::Refused { .. }) => None,
        None => match nearest(name, keys::of_broker().map(|key| key.name)) {
            Some(nearest) => Some(format!("no key of this broker; did you mean {nearest}?").into()),
            None => Some("no key of this broker".into()),
        },
    }
}

/// What a log says of the settings that clients made between the two and that change nothing.
#[must_use]
pub fn since(before: &BrokerLayers, after: &BrokerLayers) -> Option<String> {
    let mut without_effect = WithoutEffect::default();
    let layers =
        [(&before.dynamic_default, &after.dynamic_default), (&before.dynamic_broker, &after.dynamic_broker)];
    for (before, after) in layers {
        for (name, value) in after {
            if before.get(name) != Some(value)
                && let Some(why) = reason(name)
            {
                // A client chose the name: it must not break the line.
                without_effect.add(name.escape_debug().to_string(), why);
            }
        }
    }
    without_effect.sentence()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn layers(all: &[(&str, &str)], one: &[(&str, &str)]) -> BrokerLayers {
        let map = |settings: &[(&str, &str)]| -> BTreeMap<String, String> {
            settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        BrokerLayers { dynamic_default: map(all), dynamic_broker: map(one), ..BrokerLayers::default() }
    }

    #[test]
    fn what_clients_newly_set_to_no_effect_is_told_once_and_by_reason() {
        let before = layers(&[], &[("num.io.threads", "9"), ("log.retention.ms", "5")]);
        let after = layers(
            &[("background.threads", "9"), ("log.retenton.ms", "1")],
            &[
                ("num.io.threads", "9"),
                ("log.retention.ms", "6"),
                ("a\nb", "1"),
                ("zookeeper.connect", "here"),
            ],
        );
        assert_eq!(
            since(&before, &after).as_deref(),
            Some(
                "settings that change nothing here: background.threads (the broker has no such pool of threads to size); \
                 log.retenton.ms (no key of this broker; did you mean log.retention.ms?); a\\nb (no key of this broker); \
                 zookeeper.connect (there is no ZooKeeper here; the node keeps its metadata by itself)"
            )
        );
        assert_eq!(since(&after, &after), None);
    }
}
