//! The `ottla` binary: reads the command line and hands on.

use ottla::cli::{self, Command};
use ottla::cli::{
    cluster, completion, config_reference, consume, doctor, groups, produce, serve, storage, topics,
};
use std::io::Write;
use std::process::ExitCode;

/// Reserves without committing, so that a count which a peer made up costs nothing until it is filled; see
/// `wire/frame.rs` for what bounds the rest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ottla::panics::install();
    let done = match cli::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(arguments) => config_reference::run(&arguments),
        Command::Topics(arguments) => topics::run(&arguments),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::Groups(arguments) => groups::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Storage(arguments) => storage::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let sentence = cli::sentence(&error);
            if !sentence.is_empty() {
                // Nobody is left to be told where standard error is gone as well.
                let _unheard = writeln!(std::io::stderr(), "ottla: {sentence}");
            }
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
