//! `ottla cluster certificates`: an authority of a set's own, and a certificate for each node.
//!
//! ```text
//! OUT/ca/certificate.pem, key.pem                the authority; its key signs nodes that come later, and is nobody's else
//! OUT/node-ID/certificate.pem, key.pem, ca.pem   what node ID needs, the authority's certificate among it
//! ```
//!
//! A certificate names its node as `node-ID`, which `peer/tls.rs` checks, and no host: a node may move. Nothing that is
//! there is overwritten; where an authority is there, it signs the new nodes.

use super::super::{Form, print};
use crate::clock;
use crate::peer::PeerTls;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use config::broker::PeerTlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use storage::ids::BrokerId;

/// How long certificates are valid, in years. Longer: a key that leaked is good for longer. Shorter: nodes stop finding
/// each other while nobody remembers why.
const VALID_YEARS: i32 = 10;

/// The average year of the calendar.
const YEAR_MS: i64 = 31_556_952_000;

/// The name of the authority. It is part of each certificate, so it is the same whenever a node is added.
const AUTHORITY: &str = "Ottla replica set";

/// Which certificates, and where.
#[derive(Debug, Args)]
pub struct CertificatesArguments {
    /// The nodes, as in ottla.replica.set; a port does not matter.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID@HOST,...")]
    pub nodes: Vec<NamedNode>,
    /// The directory to make; where it holds an authority already, that signs the nodes.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// One node of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNode {
    /// Its `node.id`.
    pub id: i32,
    /// Where it runs, to say where its files belong.
    pub host: String,
}

impl FromStr for NamedNode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let node = text.trim().split_once('@').and_then(|(id, host)| {
            let id = id.parse().ok().filter(|id: &i32| *id >= 0)?;
            (!host.is_empty()).then(|| Self { id, host: host.to_owned() })
        });
        node.ok_or_else(|| format!("{text} is not of the form ID@HOST, such as 1@10.0.0.1"))
    }
}

/// Makes the files and says what to do with them.
pub(super) fn run(arguments: &CertificatesArguments) -> Result<()> {
    let until = make(&arguments.out, &arguments.nodes)?;
    print(&match arguments.output {
        Form::Text => text(arguments, until),
        Form::Json => json(arguments, until),
    })
}

/// Makes the files for `nodes` below `out`, and gives the year in which they expire.
pub(crate) fn make(out: &Path, nodes: &[NamedNode]) -> Result<i32> {
    let mut ids = BTreeSet::new();
    for node in nodes {
        ensure!(ids.insert(node.id), "node {} is there twice; every node needs an id of its own", node.id);
        let directory = node_directory(out, node.id);
        ensure!(
            !directory.exists(),
            "{} is there already; remove it, or leave node {} out",
            directory.display(),
            node.id
        );
    }
    let until = year() + VALID_YEARS;
    let (authority, certificate) = authority(&out.join("ca"), until)?;
    for node in nodes {
        sign(&authority, &certificate, node.id, &node_directory(out, node.id), until)?;
    }
    Ok(until)
}

/// The files of one node, as its configuration names them.
pub(crate) fn files(out: &Path, id: i32) -> PeerTlsFiles {
    let file = |name| node_directory(out, id).join(name);
    PeerTlsFiles { certificate: file("certificate.pem"), key: file("key.pem"), ca: file("ca.pem") }
}

fn node_directory(out: &Path, id: i32) -> PathBuf {
    out.join(format!("node-{id}"))
}

/// The authority in `directory` and its certificate; made where there is none.
fn authority(directory: &Path, until: i32) -> Result<(Issuer<'static, KeyPair>, String)> {
    let (certificate_file, key_file) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let mut params = params(AUTHORITY, until)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if key_file.exists() {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let key = KeyPair::from_pem(&read(&key_file)?)
            .with_context(|| format!("{} holds no key of an authority", key_file.display()))?;
        return Ok((Issuer::new(params, key), read(&certificate_file)?));
    }
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    make_directory(directory)?;
    write(&key_file, &key.serialize_pem())?;
    write(&certificate_file, &certificate)?;
    Ok((Issuer::new(params, key), certificate))
}

fn sign(authority: &Issuer<'_, KeyPair>, ca: &str, id: i32, directory: &Path, until: i32) -> Result<()> {
    let name = format!("node-{id}");
    let mut params = params(&name, until)?;
    params.subject_alt_names = CertificateParams::new(vec![name])?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?.pem();
    make_directory(directory)?;
    write(&directory.join("key.pem"), &key.serialize_pem())?;
    write(&directory.join("certificate.pem"), &certificate)?;
    write(&directory.join("ca.pem"), ca)?;
    let out = directory.parent().unwrap_or(directory);
    match PeerTls::load(&files(out, id), BrokerId(id)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "what was made for node {id} is of no use, and {} does not fit: {error}",
            out.join("ca").display()
        ),
    }
}

/// What the certificates of authority and nodes have in common. They are valid from long ago, for nodes whose clock is
/// behind.
fn params(name: &str, until: i32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    Ok(params)
}

fn year() -> i32 {
    1970 + i32::try_from(clock::now().0 / YEAR_MS).unwrap_or(0)
}

fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the directory {} cannot be made", path.display()))
}

/// Writes a file that only its owner reads, and that is not there yet.
fn write(path: &Path, text: &str) -> Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = created.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn text(arguments: &CertificatesArguments, until: i32) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: std::fmt::Arguments<'_>| {
        let _infallible = writeln!(text, "{line}");
    };
    let out = &arguments.out;
    for node in &arguments.nodes {
        line(format_args!("{}  belongs on {}", node_directory(out, node.id).display(), node.host));
    }
    line(format_args!(
        "{}  signs nodes that come later; keep its key.pem where no node is",
        out.join("ca").display()
    ));
    line(format_args!(
        "\nCopy each node's directory to its machine and name the files in its configuration:\n"
    ));
    if let Some(node) = arguments.nodes.first() {
        let files = files(out, node.id);
        line(format_args!("ottla.peer.tls.certificate = \"{}\"", files.certificate.display()));
        line(format_args!("ottla.peer.tls.key = \"{}\"", files.key.display()));
        line(format_args!("ottla.peer.tls.ca = \"{}\"", files.ca.display()));
    }
    line(format_args!("\nThey are valid until the end of {}.", until - 1));
    text
}

fn json(arguments: &CertificatesArguments, until: i32) -> String {
    let nodes: Vec<_> = arguments
        .nodes
        .iter()
        .map(|node| {
            let files = files(&arguments.out, node.id);
            json!({
                "id": node.id,
                "host": node.host,
                "ottla.peer.tls.certificate": files.certificate,
                "ottla.peer.tls.key": files.key,
                "ottla.peer.tls.ca": files.ca,
            })
        })
        .collect();
    format!(
        "{:#}\n",
        json!({ "ca": arguments.out.join("ca"), "nodes": nodes, "valid_until_year": until - 1 })
    )
}

#[cfg(test)]
mod tests;
