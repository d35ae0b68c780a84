//! Whether the other nodes of the set will take this node's certificate, and for how long.

use super::Findings;
use crate::peer::PeerTls;
use config::broker::{BrokerConfig, PeerSecurity};
use storage::ids::BrokerId;

/// Looks at the files that the configuration names.
pub(super) fn look(config: &BrokerConfig, findings: &mut Findings) {
    let Some(set) = &config.replica_set else { return };
    let files = match &set.security {
        PeerSecurity::Tls(files) => files,
        PeerSecurity::Plaintext => {
            if set
                .nodes
                .values()
                .any(|address| !matches!(address.host.as_str(), "localhost" | "127.0.0.1" | "::1"))
            {
                findings.note(
                    "The nodes of the set talk in plain text: whoever is on the network between them can read and change \
                     records; `ottla cluster certificates` makes what TLS needs."
                        .to_owned(),
                );
            }
            return;
        }
    };
    match PeerTls::load(files, BrokerId(config.node_id)) {
        Err(error) => findings.check(Some(format!("The other nodes will not take this one's certificate: {error}."))),
        Ok(tls) => findings.check(tls.expires_soon().then(|| {
            format!(
                "{} or its authority is valid for less than 60 days: make new ones with `ottla cluster certificates`, or the nodes \
                 will not find each other then.",
                files.certificate.display()
            )
        })),
    }
}
