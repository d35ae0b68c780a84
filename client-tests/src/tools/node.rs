//! kafkajs: its program beside the packages that its lock file pins.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{installed, missing, program, run};

/// The program and the lists of packages, by path below `programs/node/`.
const SOURCES: [&str; 3] = ["package.json", "package-lock.json", "member.js"];

/// The script that `node` runs.
///
/// # Errors
/// Where `CI` is set and its packages cannot be had.
pub fn kafkajs_member() -> Result<Option<PathBuf>> {
    let source = program("node");
    let contents: Vec<String> =
        SOURCES.iter().map(|name| fs::read_to_string(source.join(name))).collect::<Result<_, _>>()?;
    let outcome = installed("node", &contents.concat(), |directory| {
        for (name, content) in SOURCES.iter().zip(&contents) {
            fs::write(directory.join(name), content)?;
        }
        let quiet = ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        run("npm", quiet.map(AsRef::as_ref).into_iter().chain([directory.as_os_str()]))?;
        run("node", ["--version"])?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join("member.js"))),
        Err(error) => missing("kafkajs", &format!("{error:#}")),
    }
}
