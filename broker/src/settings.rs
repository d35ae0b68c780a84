//! The configuration in force: what the node was started with, and what clients have set since.

use arc_swap::ArcSwap;
use config::broker::{BrokerConfig, BrokerLayers};
use config::error::ConfigError;
use config::topic::TopicConfig;
use config::without_effect;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::ids::BrokerId;

/// The settings at one moment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The typed values.
    pub broker: BrokerConfig,
    /// Who set what.
    pub layers: BrokerLayers,
}

/// The settings as they change.
#[derive(Debug)]
pub struct CurrentSettings {
    current: ArcSwap<Settings>,
}

impl CurrentSettings {
    /// The settings with which the node starts.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { current: ArcSwap::from_pointee(settings) }
    }

    /// The settings as they are now. A request takes them once.
    #[must_use]
    pub fn load(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// Follows what `image` sets for this node and for all nodes, and says in the log what of it changes nothing.
    ///
    /// # Errors
    /// When the values do not resolve, which a change was checked for before it was agreed on; the settings stay.
    pub fn follow(&self, image: &MetadataImage, node_id: BrokerId) -> Result<(), Vec<ConfigError>> {
        let before = self.current.load();
        let layers = BrokerLayers {
            explicit: before.layers.explicit.clone(),
            dynamic_default: image.configs_of(&ConfigResource::AllBrokers).clone(),
            dynamic_broker: image.configs_of(&ConfigResource::Broker(node_id)).clone(),
        };
        let broker = BrokerConfig::resolve(&layers)?;
        if let Some(sentence) = without_effect::since(&before.layers, &layers) {
            tracing::warn!("clients made {sentence}");
        }
        self.current.store(Arc::new(Settings { broker, layers }));
        Ok(())
    }

    /// The settings of a topic with these overrides. Overrides were checked when they were set; should one not
    /// resolve any more (after a change of version, say), the broker's defaults hold and the log says so.
    #[must_use]
    pub fn of_topic(&self, topic: &str, overrides: &BTreeMap<String, String>) -> Arc<TopicConfig> {
        let settings = self.current.load();
        match TopicConfig::resolve(&settings.broker, overrides) {
            Ok(config) => Arc::new(config),
            Err(errors) => {
                for error in errors {
                    tracing::warn!("the configuration of topic {topic} is not in force: {error}");
                }
                Arc::new(settings.broker.topic_defaults.clone())
            }
        }
    }
}
