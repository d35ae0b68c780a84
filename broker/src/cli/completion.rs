//! `ottla completion`: scripts for shells, made from the table of commands itself.

use super::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Whose script is printed.
#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// The shell. To keep it: bash, ~/.local/share/bash-completion/completions/ottla; zsh, _ottla in a directory of
    /// $fpath; fish, ~/.config/fish/completions/ottla.fish.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output is closed.
pub fn run(arguments: &CompletionArguments) -> anyhow::Result<()> {
    super::print(&String::from_utf8(script(arguments.shell))?)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ottla", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::{Shell, script};
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_every_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).expect("a script is text");
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            }
            assert!(script.contains("replication-factor"), "{shell} lacks an option");
        }
    }

    #[test]
    fn the_table_of_commands_holds_together() {
        Cli::command().debug_assert();
    }
}
