//! The clients in Go: their programs, built from a module whose sums are pinned.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{installed, missing, run};

/// What the build is made of, by path below `programs/go/`.
const SOURCES: [&str; 9] = [
    "go.mod",
    "go.sum",
    "contract/contract.go",
    "member/member.go",
    "client_franz/main.go",
    "client_sarama/main.go",
    "client_segmentio/main.go",
    "member_franz/main.go",
    "member_sarama/main.go",
];

/// The binary of the program in the directory `name` of `programs/go/`.
///
/// # Errors
/// Where `CI` is set and it cannot be built.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    let module = super::program("go");
    let contents: Vec<String> =
        SOURCES.iter().map(|source| fs::read_to_string(module.join(source))).collect::<Result<_, _>>()?;
    let outcome = installed("go", &contents.concat(), |directory| {
        let directory = directory.as_os_str();
        let arguments = ["build".as_ref(), "-C".as_ref(), module.as_os_str(), "-o".as_ref(), directory];
        run("go", arguments.into_iter().chain(["./...".as_ref()]))?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join(name))),
        Err(error) => missing("the clients in Go", &format!("{error:#}")),
    }
}
