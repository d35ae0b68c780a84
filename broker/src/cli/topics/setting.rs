//! A topic's settings on the command line: `retention.ms=60000`.

use anyhow::anyhow;
use config::keys;
use config::parse::nearest::nearest;
use kafka_protocol::ResponseError;
use std::str::FromStr;

/// A setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self { name: name.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(format!("{text} is not KEY=VALUE")),
        }
    }
}

/// What a broker refused of `settings`, with the name that was meant where one of them is a slip of the hand.
pub(super) fn with_suggestion(error: anyhow::Error, code: i16, settings: &[Setting]) -> anyhow::Error {
    if code != ResponseError::InvalidConfig.code() {
        return error;
    }
    let unknown = settings.iter().find(|setting| keys::topic_key(&setting.name).is_none());
    let meant = unknown.and_then(|setting| nearest(&setting.name, keys::of_topic().map(|key| key.name)));
    match meant {
        Some(meant) => anyhow!("{error}; did you mean {meant}?"),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, with_suggestion};
    use anyhow::anyhow;

    #[test]
    fn a_setting_that_is_refused_names_the_nearest_that_there_is() {
        let said = |code, text: &str| {
            with_suggestion(anyhow!("refused"), code, &[text.parse().expect("it is one")]).to_string()
        };
        assert_eq!(said(40, "retention.mss=1"), "refused; did you mean retention.ms?");
        assert_eq!(said(40, "retention.ms=x"), "refused");
        assert_eq!(said(40, "quite.another.thing=1"), "refused");
        assert_eq!(said(42, "retention.mss=1"), "refused");
    }

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        let setting: Setting = "cleanup.policy = compact,delete".parse().expect("it is one");
        assert_eq!((setting.name.as_str(), setting.value.as_str()), ("cleanup.policy", "compact,delete"));
        assert!("=1".parse::<Setting>().is_err() && "retention.ms".parse::<Setting>().is_err());
    }
}
