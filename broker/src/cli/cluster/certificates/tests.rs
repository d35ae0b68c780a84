//! What the command writes, refuses and leaves alone.

use super::{NamedNode, files, make};
use crate::peer::{PeerTls, PeerTlsError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use storage::ids::BrokerId;

fn nodes(text: &str) -> Vec<NamedNode> {
    text.split(',').map(|node| node.parse().unwrap()).collect()
}

#[test]
fn every_file_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), &nodes("1@a,2@b")).unwrap();
    let mut count = 0;
    for made in ["ca", "node-1", "node-2"].map(|name| directory.path().join(name)) {
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for file in made.read_dir().unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
            count += 1;
        }
    }
    assert_eq!(count, 2 + 3 + 3);
}

#[test]
fn node_that_comes_later_is_signed_by_the_same_authority() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), &nodes("1@a")).unwrap();
    make(directory.path(), &nodes("4@d")).unwrap();
    let ca = |id| std::fs::read(files(directory.path(), id).ca).unwrap();
    assert_eq!(ca(1), ca(4));
    PeerTls::load(&files(directory.path(), 4), BrokerId(4)).unwrap();
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), &nodes("1@a")).unwrap();
    let key = std::fs::read(files(directory.path(), 1).key).unwrap();
    let refused = make(directory.path(), &nodes("2@b,1@a")).unwrap_err().to_string();
    assert!(refused.ends_with("node-1 is there already; remove it, or leave node 1 out"), "{refused}");
    assert_eq!(std::fs::read(files(directory.path(), 1).key).unwrap(), key);
    assert!(!directory.path().join("node-2").exists());
}

#[test]
fn node_without_a_host_or_twice_is_refused() {
    for wrong in ["host", "x@host", "-1@host", "1@"] {
        assert!(wrong.parse::<NamedNode>().unwrap_err().contains("is not of the form ID@HOST"), "{wrong}");
    }
    let refused = make(Path::new("unused"), &nodes("1@a,1@b")).unwrap_err().to_string();
    assert_eq!(refused, "node 1 is there twice; every node needs an id of its own");
}

#[test]
fn files_that_do_not_fit_are_told_apart() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(ours.path(), &nodes("1@a,2@b")).unwrap();
    make(theirs.path(), &nodes("1@a")).unwrap();
    let (own, other) = (files(ours.path(), 1), files(theirs.path(), 1));
    let load = |certificate: &Path, key: &Path, ca: &Path, id| {
        let [certificate, key, ca] = [certificate, key, ca].map(Path::to_owned);
        PeerTls::load(&config::broker::PeerTlsFiles { certificate, key, ca }, BrokerId(id))
    };
    load(&own.certificate, &own.key, &own.ca, 1).unwrap();
    let refused = load(&own.certificate, &own.key, &own.ca, 2).unwrap_err();
    assert!(matches!(refused, PeerTlsError::OfAnotherNode { node_id: 2, .. }), "{refused}");
    let refused = load(&own.certificate, &other.key, &own.ca, 1).unwrap_err();
    assert!(matches!(refused, PeerTlsError::KeyOfAnother { .. }), "{refused}");
    let refused = load(&own.certificate, &own.key, &other.ca, 1).unwrap_err();
    assert!(matches!(refused, PeerTlsError::NotTrusted { .. }), "{refused}");
    let refused = load(&own.certificate, Path::new("gone.pem"), &own.ca, 1).unwrap_err();
    let directory = std::env::current_dir().unwrap();
    let looked_for = format!("ottla.peer.tls.key=gone.pem cannot be read in {}: ", directory.display());
    assert!(refused.to_string().starts_with(&looked_for), "{refused}");
    let refused = load(&own.key, &own.key, &own.ca, 1).unwrap_err();
    assert!(matches!(refused, PeerTlsError::NoCertificate { .. }), "{refused}");
}
