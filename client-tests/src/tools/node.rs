//! The clients in Node.js: their programs beside the packages that their lock file pins.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{installed, missing, run};

/// The programs and the lists of packages, by path below `programs/node/`.
const SOURCES: [&str; 6] = [
    "package.json",
    "package-lock.json",
    "contract.js",
    "client_kafkajs.js",
    "client_platformatic.js",
    "member_kafkajs.js",
];

/// The script `name` of `programs/node/`, which `node` runs.
///
/// # Errors
/// Where `CI` is set and its packages cannot be had.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    let source = super::program("node");
    let contents: Vec<String> =
        SOURCES.iter().map(|file| fs::read_to_string(source.join(file))).collect::<Result<_, _>>()?;
    let outcome = installed("node", &contents.concat(), |directory| {
        for (file, content) in SOURCES.iter().zip(&contents) {
            fs::write(directory.join(file), content)?;
        }
        let quiet = ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        run("npm", quiet.map(AsRef::as_ref).into_iter().chain([directory.as_os_str()]))?;
        run("node", ["--version"])?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join(name))),
        Err(error) => missing("the clients in Node.js", &format!("{error:#}")),
    }
}
