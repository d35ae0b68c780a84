//! A topic's settings on the command line: `retention.ms=60000`.

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

#[cfg(test)]
mod tests {
    use super::Setting;

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        let setting: Setting = "cleanup.policy = compact,delete".parse().expect("it is one");
        assert_eq!((setting.name.as_str(), setting.value.as_str()), ("cleanup.policy", "compact,delete"));
        assert!("=1".parse::<Setting>().is_err() && "retention.ms".parse::<Setting>().is_err());
    }
}
