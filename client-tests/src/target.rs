//! The broker that client tests talk to: a node of our own, or one that runs elsewhere.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::Result;

use crate::node::Node;

/// A broker to test.
#[derive(Debug)]
pub struct Target {
    node: Option<Node>,
    bootstrap: String,
}

impl Target {
    /// Starts a node, or takes the broker that `OTTLA_TEST_BOOTSTRAP` names.
    ///
    /// # Errors
    /// When the node does not start.
    pub fn start() -> Result<Target> {
        Target::start_with(&[])
    }

    /// Starts a node with these `key=value` settings, or takes the broker that `OTTLA_TEST_BOOTSTRAP` names, which must
    /// have them already.
    ///
    /// # Errors
    /// When the node does not start.
    pub fn start_with(settings: &[&str]) -> Result<Target> {
        if let Ok(bootstrap) = std::env::var("OTTLA_TEST_BOOTSTRAP") {
            return Ok(Target { node: None, bootstrap });
        }
        let node = Node::start(settings)?;
        let bootstrap = node.bootstrap().to_owned();
        Ok(Target { node: Some(node), bootstrap })
    }

    /// `host:port` that clients are given.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The process under test, unless it is somebody else's.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }
}

/// A topic name that no other test uses, also on a broker that keeps its topics between runs.
#[must_use]
pub fn unique_topic(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
}

/// Whether a test that needs a process of its own must be left out, which it says on standard error.
#[must_use]
pub fn skip_on_foreign_broker(test: &str) -> bool {
    let foreign = std::env::var_os("OTTLA_TEST_BOOTSTRAP").is_some();
    if foreign {
        eprintln!("SKIPPED {test}: it needs a process of its own, and OTTLA_TEST_BOOTSTRAP names another's");
    }
    foreign
}
