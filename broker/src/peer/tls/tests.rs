//! Who gets through TLS, and what both sides are told when one does not.

use super::{PeerTls, SetVerifier, TlsProblem, certificates};
use crate::cli::cluster::certificates as command;
use crate::peer::frame::{read_frame, write_frame};
use crate::peer::hello::HelloError;
use crate::peer::hello::other_than_tls;
use crate::peer::testing::{connect_through, hello};
use crate::peer::{DialError, Mismatch, PeerStream};
use config::broker::PeerTlsFiles;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use storage::ids::BrokerId;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// The certificates of one set of three nodes.
struct Set(TempDir);

impl Set {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let nodes = ["1@a", "2@b", "3@c"].map(|node| node.parse().unwrap());
        command::make(directory.path(), &nodes).unwrap();
        Self(directory)
    }

    fn files(&self, id: i32) -> PeerTlsFiles {
        command::files(self.0.path(), id)
    }

    fn node(&self, id: i32) -> PeerTls {
        PeerTls::load(&self.files(id), BrokerId(id)).unwrap()
    }

    /// Trusts the authority of this set.
    fn verifier(&self) -> Arc<SetVerifier> {
        let mut roots = RootCertStore::empty();
        let ca = certificates("ottla.peer.tls.ca", &self.files(1).ca).unwrap();
        roots.add(ca.into_iter().next().unwrap()).unwrap();
        Arc::new(SetVerifier { roots: Arc::new(roots), provider: Arc::new(aws_lc_rs::default_provider()) })
    }
}

/// Node 2 dials node 1.
async fn connect(
    accepting: Option<PeerTls>,
    dialling: Option<PeerTls>,
) -> Result<(PeerStream, PeerStream), DialError> {
    connect_through((accepting, &hello(1, None)), (dialling, &hello(2, None))).await
}

#[tokio::test]
async fn nodes_of_one_set_talk() {
    let set = Set::new();
    let (mut accepted, mut dialled) = connect(Some(set.node(1)), Some(set.node(2))).await.unwrap();
    let megabyte = vec![7; 1024 * 1024];
    let pieces = [megabyte.as_slice(), b"end"];
    let (written, read) =
        tokio::join!(write_frame(&mut dialled, &pieces), read_frame(&mut accepted, 2 * 1024 * 1024));
    written.unwrap();
    assert_eq!(read.unwrap(), pieces.concat());
}

#[tokio::test]
async fn a_connection_through_tls_goes_on_in_another_runtime() {
    let set = Set::new();
    let (mut accepted, mut dialled) = connect(Some(set.node(1)), Some(set.node(2))).await.unwrap();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            accepted.move_to_this_runtime().unwrap();
            let frame = read_frame(&mut accepted, 64).await.unwrap();
            write_frame(&mut accepted, &[&frame]).await.unwrap();
        });
    });
    write_frame(&mut dialled, &[b"there and back"]).await.unwrap();
    assert_eq!(read_frame(&mut dialled, 64).await.unwrap(), "there and back");
    elsewhere.join().unwrap();
}

#[tokio::test]
async fn a_node_of_another_authority_is_not_trusted_by_who_dials_it() {
    let (set, foreign) = (Set::new(), Set::new());
    let refused = connect(Some(foreign.node(1)), Some(set.node(2))).await;
    let Err(DialError::Hello { source: HelloError::Tls(TlsProblem::NotTrusted(_)), .. }) = &refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test]
async fn a_node_of_another_authority_is_not_trusted_by_whom_it_dials() {
    let (set, foreign) = (Set::new(), Set::new());
    // It trusts the set's authority, so that it is the accepting side alone which keeps it out.
    let chain = certificates("ottla.peer.tls.certificate", &foreign.files(2).certificate).unwrap();
    let private_key = PrivateKeyDer::from_pem_file(foreign.files(2).key).unwrap();
    let believer = PeerTls::build(chain, private_key, &set.verifier(), false).unwrap();
    let refused = connect(Some(set.node(1)), Some(believer)).await;
    let Err(DialError::Hello { source: HelloError::Tls(TlsProblem::Refused(_)), .. }) = &refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test]
async fn who_shows_no_certificate_is_not_heard() {
    let set = Set::new();
    let verifier = set.verifier();
    let client = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let nameless = PeerTls { connector: TlsConnector::from(Arc::new(client)), ..set.node(2) };
    let refused = connect(Some(set.node(1)), Some(nameless)).await;
    let Err(DialError::Hello { source: HelloError::Tls(TlsProblem::Refused(_)), .. }) = &refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test]
async fn a_node_that_says_it_is_another_one_is_not_heard() {
    let set = Set::new();
    for (accepting, dialling, pretended) in [(1, 3, 3), (3, 2, 3)] {
        let (accepting, dialling) = (hello(accepting, None), hello(dialling, None));
        let refused = connect_through((Some(set.node(1)), &accepting), (Some(set.node(2)), &dialling)).await;
        let Err(DialError::Mismatch { source: Mismatch::AnotherNodesCertificate { broker_id }, .. }) =
            refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(broker_id, pretended);
    }
}

#[tokio::test]
async fn tls_on_one_side_alone_is_named() {
    let set = Set::new();
    let refused = connect(Some(set.node(1)), None).await;
    assert!(
        matches!(refused, Err(DialError::Hello { source: HelloError::OnlyTheyUseTls, .. })),
        "{refused:?}"
    );
    let refused = connect(None, Some(set.node(2))).await;
    assert!(matches!(refused, Err(DialError::Hello { source: HelloError::OnlyWeUseTls, .. })), "{refused:?}");
}

#[tokio::test]
async fn clients_that_come_to_a_node_with_tls_are_named() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "the other side speaks HTTP, which is for ottla.http.listener"),
        (
            b"\0\0\0\x14\0\x12\0\x03\0\0\0\x01",
            "the other side speaks Kafka's protocol, which is for listeners",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let stranger = other_than_tls(&stream).await.unwrap().unwrap();
        assert!(stranger.to_string().starts_with(expected), "{stranger}");
    }
}
