//! The clients in Node.js: their programs beside the packages that their lock files pin.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

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

/// The client that a C++ compiler builds.
const NATIVE_PACKAGE: &str = "@confluentinc/kafka-javascript";

/// How the script `name` of `programs/node_native/` is run, with the packages that are built from source once.
///
/// # Errors
/// Where `CI` is set and its packages cannot be had.
pub fn native_program(name: &str) -> Result<Option<Command>> {
    let source = super::program("node_native");
    let files = ["package.json", "package-lock.json"];
    let contents: Vec<String> =
        files.iter().map(|file| fs::read_to_string(source.join(file))).collect::<Result<_, _>>()?;
    let outcome = installed("node-native", &contents.concat(), |directory| {
        for (file, content) in files.iter().zip(&contents) {
            fs::write(directory.join(file), content)?;
        }
        build_native(directory)
    });
    match outcome {
        Ok(directory) => {
            let mut command = Command::new("node");
            command.env("NODE_PATH", directory.join("node_modules")).arg(source.join(name));
            Ok(Some(command))
        }
        Err(error) => missing("the native client in Node.js", &format!("{error:#}")),
    }
}

/// Fetches the packages and builds librdkafka, then the binding: by itself the package would take a binary from elsewhere, or
/// libraries to link, and start as many compilers as there are files.
fn build_native(directory: &Path) -> Result<()> {
    let package = directory.join("node_modules").join(NATIVE_PACKAGE);
    let node = run("node", ["--print", "process.execPath"])?;
    let node = PathBuf::from(String::from_utf8(node)?.trim());
    let headers = node.parent().and_then(Path::parent).context("node is in no directory")?;
    let in_order: [(&Path, &str, &[&str]); 4] = [
        (directory, "npm", &["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]),
        (&package, "node", &["util/configure"]),
        (&package, "make", &["-j2", "-C", "deps/librdkafka", "libs", "install-subdirs"]),
        (directory, "npm", &["rebuild", NATIVE_PACKAGE, "--build-from-source", "--foreground-scripts"]),
    ];
    for (place, program, arguments) in in_order {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(place);
        command.env("CKJS_LINKING", "dynamic").env("npm_config_nodedir", headers).env("JOBS", "2");
        let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    }
    Ok(())
}
