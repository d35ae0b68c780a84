//! Whether the other nodes of the set will take this node's certificate, and for how long.

use super::Findings;
use crate::peer::PeerTls;
use config::broker::{BrokerConfig, PeerSecurity, ReplicaSet};
use storage::ids::BrokerId;

/// Looks at the files that the configuration names.
pub(super) fn look(config: &BrokerConfig, findings: &mut Findings) {
    let Some(set) = &config.replica_set else {
        findings.note(
            "No certificate is looked at, since the configuration names no other nodes (ottla.replica.set); --config FILE gives that of a node."
                .to_owned(),
        );
        return;
    };
    let files = match &set.security {
        PeerSecurity::Tls(files) => files,
        PeerSecurity::Plaintext => return findings.note(plaintext(set)),
    };
    let file = files.certificate.display();
    findings.check(match PeerTls::load(files, BrokerId(config.node_id)) {
        Err(error) => Err(format!("The other nodes will not take this one's certificate: {error}.")),
        Ok(tls) if tls.expires_soon() => Err(format!(
            "{file} or its authority is valid for less than 60 days: make new ones with `ottla cluster certificates`, or the nodes \
             will not find each other then."
        )),
        Ok(_well) => Ok(format!("{file} and its authority are valid for 60 days at least, and name this node.")),
    });
}

fn plaintext(set: &ReplicaSet) -> String {
    let is_local = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    match set.nodes.values().all(|address| is_local(&address.host)) {
        true => "No certificate is looked at, since all nodes of the set are on this machine, and talk in plain text.".to_owned(),
        false => {
            "The nodes of the set talk in plain text: whoever is on the network between them can read and change records; \
             `ottla cluster certificates` makes what TLS needs."
                .to_owned()
        }
    }
}
