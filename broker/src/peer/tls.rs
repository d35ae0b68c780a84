//! TLS between nodes: each side shows a certificate that the set's own authority signed and that names its node.
//!
//! Invariants: no authority but `ottla.peer.tls.ca` is trusted, on neither side; a certificate names one node as
//! `node-ID`, and the hello that comes through the connection must have that id, so that one node cannot act as another.
//! The host of a node is not checked: its address may change, its id does not. Only TLS 1.3 is spoken.
//!
//! Deliberately absent: revocation. Who has lost a key makes a new authority (`ottla cluster certificates`).

use super::hello::Mismatch;
use crate::clock;
use config::broker::PeerTlsFiles;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use rustls::{Error as RustlsError, RootCertStore};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What the dialling side calls the other in the handshake. It is not sent, since who answers is known from its hello.
const ANY_NODE: &str = "node";

/// A certificate that is valid for less than this is worth a warning. Longer: one that nobody heeds. Shorter: no time
/// to replace it.
const EXPIRY_WARNING: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// One node's certificate and whom it trusts, for both directions.
#[derive(Clone)]
pub(crate) struct PeerTls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    expires_soon: bool,
}

/// Why a node's files for TLS are of no use.
#[derive(Debug, thiserror::Error)]
pub enum PeerTlsError {
    /// A file cannot be read, or is no PEM file.
    #[error("{key}={path} cannot be read{within}: {cause}", within = relative_to(path), cause = plainly(source))]
    Unreadable {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// A file without a certificate.
    #[error("{key}={path} holds no certificate")]
    NoCertificate {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// What the file holds cannot be used.
    #[error("{key}={path} cannot be used: {source}")]
    Unusable {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: RustlsError,
    },
    /// The key is another certificate's.
    #[error("ottla.peer.tls.key={key} is not the key of ottla.peer.tls.certificate={certificate}")]
    KeyOfAnother {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not the authority's, or not valid now.
    #[error("ottla.peer.tls.certificate={certificate} is not trusted by ottla.peer.tls.ca={ca}: {source}")]
    NotTrusted {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authority's file.
        ca: PathBuf,
        /// Why not.
        source: RustlsError,
    },
    /// The certificate is another node's.
    #[error(
        "ottla.peer.tls.certificate={certificate} does not name node-{node_id}, which this node is (node.id)"
    )]
    OfAnotherNode {
        /// The certificate's file.
        certificate: PathBuf,
        /// This node.
        node_id: i32,
    },
}

/// Why two nodes could not agree on TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// The other side's certificate is not what it must be.
    #[error("its certificate is not trusted by ottla.peer.tls.ca here: {0}")]
    NotTrusted(CertificateError),
    /// The other side shows no certificate.
    #[error("it shows no certificate; a node needs one of ottla.peer.tls.ca")]
    NoCertificate,
    /// The other side did not accept this one's certificate.
    #[error("it does not trust this node's certificate ({0:?}); both need one of the same ottla.peer.tls.ca")]
    Refused(AlertDescription),
    /// Something else.
    #[error("TLS failed: {0}")]
    Other(RustlsError),
}

impl PeerTls {
    /// Reads the files of the node `node_id`, and checks that they fit each other and the node. Blocks on the disk.
    ///
    /// # Errors
    /// See [`PeerTlsError`].
    pub(crate) fn load(files: &PeerTlsFiles, node_id: BrokerId) -> Result<Self, PeerTlsError> {
        let chain = certificates("ottla.peer.tls.certificate", &files.certificate)?;
        let private_key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| {
            PeerTlsError::Unreadable { key: "ottla.peer.tls.key", path: files.key.clone(), source }
        })?;
        let mut roots = RootCertStore::empty();
        for authority in certificates("ottla.peer.tls.ca", &files.ca)? {
            roots.add(authority).map_err(|source| PeerTlsError::Unusable {
                key: "ottla.peer.tls.ca",
                path: files.ca.clone(),
                source,
            })?;
        }
        let verifier = Arc::new(SetVerifier {
            roots: Arc::new(roots),
            provider: Arc::new(aws_lc_rs::default_provider()),
        });
        let expires_soon = check_own(files, &chain, &verifier, node_id)?;
        Self::build(chain, private_key, &verifier, expires_soon).map_err(|source| match source {
            RustlsError::InconsistentKeys(_) => {
                PeerTlsError::KeyOfAnother { key: files.key.clone(), certificate: files.certificate.clone() }
            }
            source => PeerTlsError::Unusable { key: "ottla.peer.tls.key", path: files.key.clone(), source },
        })
    }

    fn build(
        chain: Vec<CertificateDer<'static>>,
        private_key: PrivateKeyDer<'static>,
        verifier: &Arc<SetVerifier>,
        expires_soon: bool,
    ) -> Result<Self, RustlsError> {
        let SetVerifier { roots, provider } = verifier.as_ref();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| RustlsError::General(error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), private_key.clone_key())?;
        // Connections between nodes last; a resumed session would save little.
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(chain, private_key)?;
        client.enable_sni = false;
        client.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            expires_soon,
        })
    }

    /// Whether the certificate or its authority is valid for less than 60 days.
    pub(crate) fn expires_soon(&self) -> bool {
        self.expires_soon
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let any_node = ServerName::try_from(ANY_NODE).expect("the constant is a DNS name");
        Ok(self.connector.connect(any_node, stream).await?.into())
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(self.acceptor.accept(stream).await?.into())
    }
}

/// Whether the certificate that the other side showed names the node that its hello names.
pub(super) fn check_names(stream: &TlsStream<TcpStream>, broker_id: BrokerId) -> Result<(), Mismatch> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    match certificate {
        Some(certificate) if names(certificate, broker_id) => Ok(()),
        Some(_) | None => Err(Mismatch::AnotherNodesCertificate { broker_id: broker_id.0 }),
    }
}

impl TlsProblem {
    /// What TLS says went wrong, where `error` comes from there.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<RustlsError>()?;
        Some(match error {
            RustlsError::InvalidCertificate(reason) => Self::NotTrusted(reason.clone()),
            RustlsError::NoCertificatesPresented => Self::NoCertificate,
            RustlsError::AlertReceived(alert) => Self::Refused(*alert),
            other => Self::Other(other.clone()),
        })
    }
}

impl fmt::Debug for PeerTls {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PeerTls").finish_non_exhaustive()
    }
}

/// Trusts the set's authority, whatever node shows its certificate: the hello then says which one.
#[derive(Debug)]
struct SetVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl SetVerifier {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), RustlsError> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)
    }
}

impl ServerCertVerifier for SetVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.check(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(RustlsError::General("only TLS 1.3 is spoken between nodes".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Where a path that is not absolute was looked for.
fn relative_to(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(directory) if path.is_relative() => format!(" in {}", directory.display()),
        Ok(_) | Err(_) => String::new(),
    }
}

fn plainly(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PeerTlsError> {
    let unreadable = |source| PeerTlsError::Unreadable { key, path: path.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
    if chain.is_empty() { Err(PeerTlsError::NoCertificate { key, path: path.to_owned() }) } else { Ok(chain) }
}

/// What the other nodes will find wrong with this node's certificate is said at the start, and not by their refusals.
/// Returns whether it expires soon.
fn check_own(
    files: &PeerTlsFiles,
    chain: &[CertificateDer<'_>],
    verifier: &SetVerifier,
    node_id: BrokerId,
) -> Result<bool, PeerTlsError> {
    let Some((own, intermediates)) = chain.split_first() else { return Ok(false) };
    let since_epoch = Duration::from_millis(u64::try_from(clock::now().0).unwrap_or(0));
    let check = |now| verifier.check(own, intermediates, UnixTime::since_unix_epoch(now));
    check(since_epoch).map_err(|source| PeerTlsError::NotTrusted {
        certificate: files.certificate.clone(),
        ca: files.ca.clone(),
        source,
    })?;
    if !names(own, node_id) {
        return Err(PeerTlsError::OfAnotherNode {
            certificate: files.certificate.clone(),
            node_id: node_id.0,
        });
    }
    let expires_soon = check(since_epoch + EXPIRY_WARNING).is_err();
    if expires_soon {
        tracing::warn!(
            "ottla.peer.tls.certificate={} or its authority is valid for less than 60 days; without new ones the nodes of \
             the set will not find each other then",
            files.certificate.display()
        );
    }
    Ok(expires_soon)
}

fn names(certificate: &CertificateDer<'_>, node_id: BrokerId) -> bool {
    let Ok(name) = ServerName::try_from(format!("node-{node_id}")) else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

#[cfg(test)]
mod tests;
