//! What a node logs, and where.

use crate::loggers;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that sets what is logged: a level, or levels of modules.
const VARIABLE: &str = "OTTLA_LOG";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Logs to standard error from now on. What the variable says and cannot be understood is said there, and changes nothing.
///
/// # Errors
/// Something logs already.
pub(super) fn to_standard_error() -> anyhow::Result<()> {
    let loggers = loggers::of_process();
    let said = std::env::var(VARIABLE).ok().filter(|said| !said.trim().is_empty());
    let is_understood = said
        .as_deref()
        .is_none_or(|said| filter(said).is_some_and(|filter| loggers.start_with(&filter).is_ok()));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(loggers.filter())
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))?;
    if !is_understood {
        let said = said.unwrap_or_default();
        tracing::warn!(
            "{VARIABLE}={said} is not understood, and the log is as without it; it is one of error, warn, info, debug and \
             trace, or such levels of modules: debug,ottla::quorum=trace"
        );
    }
    Ok(())
}

/// The filter that `said` asks for, `None` where a word of it is no level: it would be taken for a module, and silence the
/// others. The consensus engine, which says every step of its own, is silent unless it is named.
fn filter(said: &str) -> Option<String> {
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let is_understood = |part: &str| match part.split_once('=') {
        Some((module, level)) => !module.is_empty() && is_level(level),
        None => part.is_empty() || is_level(part),
    };
    let parts: Vec<&str> = said.split(',').map(str::trim).collect();
    parts.iter().all(|part| is_understood(part)).then(|| format!("openraft=off,{}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn consensus_engine_is_silent_unless_it_is_named() {
        assert_eq!(filter("DEBUG").as_deref(), Some("openraft=off,DEBUG"));
        let named = filter("warn, openraft=debug,");
        assert_eq!(named.as_deref(), Some("openraft=off,warn,openraft=debug,"));
    }

    #[test]
    fn word_that_is_no_level_is_not_taken_for_a_module() {
        for said in ["verbose", "warning", "info,quiet", "ottla=loud", "=info", "a=b=debug"] {
            assert_eq!(filter(said), None, "{said}");
        }
    }
}
