//! Quotas of users, client ids and addresses. Source: KIP-546, `ClientQuotaControlManager.java`.
//!
//! One entity is changed whole or not at all; a refused one does not fail the others. One that a request names twice is
//! changed by neither mention, since clients keep one answer for both.

use crate::metadata::image::MetadataImage;
use crate::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The most entities with quotas. Larger: a client that makes names up grows images and snapshots. Smaller: a cluster of
/// very many users cannot limit each of them.
pub const QUOTA_ENTITIES_MAX: usize = 10_000;

/// The longest name of a user or client id, in bytes. Larger: names that are made up grow images and snapshots. Smaller:
/// a distinguished name of a certificate cannot be named.
pub const QUOTA_NAME_BYTES_MAX: usize = 4096;

/// A request to change quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterClientQuotas {
    /// The changes.
    pub alterations: Vec<QuotaAlteration>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// The changes to one entity's quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaAlteration {
    /// The parts of the entity: a type and a name, or none for the default.
    pub entity: Vec<(String, Option<String>)>,
    /// The keys, and their limits; none removes a key.
    pub limits: Vec<(String, Option<QuotaLimit>)>,
}

/// Why the quotas of an entity did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AlterQuotaError {
    /// The request names the entity twice.
    #[error("Ignoring duplicate entity")]
    DuplicateEntity,
    /// It has no part.
    #[error("Invalid empty client quota entity")]
    EmptyEntity,
    /// It has a part twice.
    #[error("Invalid client quota entity, duplicate entity entry {kind}")]
    DuplicatePart {
        /// The type of the part.
        kind: String,
    },
    /// It has a part of a type that there is not.
    #[error("Unhandled client quota entity type: {kind}")]
    UnknownPart {
        /// The type of the part.
        kind: String,
    },
    /// It is an address and something else.
    #[error("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId")]
    Address,
    /// A name is empty.
    #[error("Empty {kind} not supported")]
    EmptyName {
        /// The type of the part.
        kind: String,
    },
    /// A name is longer than [`QUOTA_NAME_BYTES_MAX`].
    #[error("The name of the {kind} is longer than {QUOTA_NAME_BYTES_MAX} bytes.")]
    NameTooLong {
        /// The type of the part.
        kind: String,
    },
    /// The request names a key twice.
    #[error("Duplicate quota key {key} not updating quota for this entity")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// There is no such key.
    #[error("Invalid configuration key {key}")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A limit that lets nothing through.
    #[error("Quota {key} must be greater than 0")]
    NotPositive {
        /// The key.
        key: String,
    },
    /// A limit that has to be whole.
    #[error("{key} cannot be a fractional value.")]
    Fractional {
        /// The key.
        key: String,
    },
    /// A limit that Kafka could not hold.
    #[error("Proposed value for {key} is too large for a LONG.")]
    TooLarge {
        /// The key.
        key: String,
    },
    /// There are [`QUOTA_ENTITIES_MAX`] entities with quotas.
    #[error(
        "The cluster has {QUOTA_ENTITIES_MAX} users, client ids and addresses with quotas, which is the most that it takes."
    )]
    TooManyEntities,
    /// It is called an address and is none. Host names are not looked up: what one stands for may change.
    #[error("{name} is not a valid IP or resolvable host.")]
    NotAnAddress {
        /// The name.
        name: String,
    },
    /// A limit that Kafka could not hold, in fewer bits.
    #[error("Proposed value for {key} is too large for an INT.")]
    TooLargeInt {
        /// The key.
        key: String,
    },
}

/// Changes what can be changed; one result for each alteration, in the order of the request.
pub(super) fn alter(
    request: &AlterClientQuotas,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<Result<(), AlterQuotaError>>) {
    let mut records = Vec::new();
    let entities: Vec<_> =
        request.alterations.iter().map(|alteration| read_entity(&alteration.entity)).collect();
    let mut seen = BTreeSet::new();
    let named_twice: BTreeSet<_> = entities.iter().flatten().filter(|entity| !seen.insert(*entity)).collect();
    let mut room = QUOTA_ENTITIES_MAX.saturating_sub(image.client_quotas().len());
    let mut results = Vec::with_capacity(request.alterations.len());
    for (alteration, entity) in request.alterations.iter().zip(&entities) {
        let changed = entity.as_ref().map_err(AlterQuotaError::clone).and_then(|entity| {
            if named_twice.contains(entity) {
                return Err(AlterQuotaError::DuplicateEntity);
            }
            let changes = changes(entity, &alteration.limits, image)?;
            let is_new = !image.client_quotas().contains_key(entity) && !changes.is_empty();
            if is_new {
                room = room.checked_sub(1).ok_or(AlterQuotaError::TooManyEntities)?;
            }
            Ok(changes)
        });
        results.push(changed.map(|changed| records.extend(changed)));
    }
    if request.validate_only {
        records.clear();
    }
    (records, results)
}

fn read_entity(parts: &[(String, Option<String>)]) -> Result<QuotaEntity, AlterQuotaError> {
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let part = match kind.as_str() {
            "user" => &mut entity.user,
            "client-id" => &mut entity.client_id,
            "ip" => &mut entity.ip,
            _ => return Err(AlterQuotaError::UnknownPart { kind: kind.clone() }),
        };
        let name = match name {
            None => QuotaName::Default,
            Some(name) if name.is_empty() => return Err(AlterQuotaError::EmptyName { kind: kind.clone() }),
            Some(name) if name.len() > QUOTA_NAME_BYTES_MAX => {
                return Err(AlterQuotaError::NameTooLong { kind: kind.clone() });
            }
            Some(name) => QuotaName::Named(name.clone()),
        };
        if part.replace(name).is_some() {
            return Err(AlterQuotaError::DuplicatePart { kind: kind.clone() });
        }
    }
    match (&entity.ip, entity.user.is_some() || entity.client_id.is_some()) {
        (Some(_), true) => Err(AlterQuotaError::Address),
        (None, false) => Err(AlterQuotaError::EmptyEntity),
        (Some(QuotaName::Named(name)), false) if name.parse::<IpAddr>().is_err() => {
            Err(AlterQuotaError::NotAnAddress { name: name.clone() })
        }
        (Some(_), false) | (None, true) => Ok(entity),
    }
}

fn changes(
    entity: &QuotaEntity,
    limits: &[(String, Option<QuotaLimit>)],
    image: &MetadataImage,
) -> Result<Vec<MetadataRecord>, AlterQuotaError> {
    let mut wanted = BTreeMap::new();
    for (name, limit) in limits {
        if wanted.insert(name.as_str(), *limit).is_some() {
            return Err(AlterQuotaError::DuplicateKey { key: name.clone() });
        }
    }
    let current = image.client_quotas().get(entity);
    let mut records = Vec::new();
    for (name, limit) in wanted {
        let key = QuotaKey::of_name(name).filter(|key| key.is_of_addresses() == entity.ip.is_some());
        let Some(key) = key else {
            // What is not there can be removed, as in Kafka.
            match limit {
                None => continue,
                Some(_) => return Err(AlterQuotaError::UnknownKey { key: name.to_owned() }),
            }
        };
        if let Some(limit) = limit {
            check(key, limit)?;
        }
        if current.and_then(|current| current.get(&key)).copied() != limit {
            records.push(MetadataRecord::ClientQuota { entity: entity.clone(), key, limit });
        }
    }
    Ok(records)
}

fn check(key: QuotaKey, limit: QuotaLimit) -> Result<(), AlterQuotaError> {
    let (name, value) = (key.name().to_owned(), limit.value());
    if value.is_nan() || value <= 0.0 {
        return Err(AlterQuotaError::NotPositive { key: name });
    }
    if let Some(max) = key.integral_max() {
        if value > max as f64 {
            return Err(match max {
                i64::MAX => AlterQuotaError::TooLarge { key: name },
                _ => AlterQuotaError::TooLargeInt { key: name },
            });
        }
        if (value % 1.0).abs() > 1e-6 {
            return Err(AlterQuotaError::Fractional { key: name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AlterClientQuotas, QuotaAlteration, alter};
    use crate::metadata::image::MetadataImage;
    use crate::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
    use crate::metadata::record::MetadataRecord;

    fn alteration(entity: &[(&str, Option<&str>)], limits: &[(&str, Option<f64>)]) -> QuotaAlteration {
        let part = |&(kind, name): &(&str, Option<&str>)| (kind.to_owned(), name.map(str::to_owned));
        let limit = |&(key, limit): &(&str, Option<f64>)| (key.to_owned(), limit.map(QuotaLimit::of));
        QuotaAlteration {
            entity: entity.iter().map(part).collect(),
            limits: limits.iter().map(limit).collect(),
        }
    }

    fn ask(alterations: Vec<QuotaAlteration>, image: &MetadataImage) -> (Vec<MetadataRecord>, Vec<String>) {
        let request = AlterClientQuotas { alterations, validate_only: false };
        let (records, results) = alter(&request, image);
        let told = |result: Result<(), super::AlterQuotaError>| {
            result.map_or_else(|it| it.to_string(), |()| String::new())
        };
        (records, results.into_iter().map(told).collect())
    }

    #[test]
    fn a_quota_is_set_changed_and_removed_and_nothing_is_recorded_twice() {
        let entity = [("user", Some("u")), ("client-id", None)];
        let image = MetadataImage::default();
        let set = |limit: Option<f64>| vec![alteration(&entity, &[("producer_byte_rate", limit)])];
        let (records, results) = ask(set(Some(1000.0)), &image);
        let expected = MetadataRecord::ClientQuota {
            entity: QuotaEntity {
                user: Some(QuotaName::Named("u".to_owned())),
                client_id: Some(QuotaName::Default),
                ip: None,
            },
            key: QuotaKey::ProducerByteRate,
            limit: Some(QuotaLimit::of(1000.0)),
        };
        assert_eq!((&records, results), (&vec![expected], vec![String::new()]));
        let image = image.apply(1, &records);
        assert!(ask(set(Some(1000.0)), &image).0.is_empty());
        let (records, _) = ask(set(None), &image);
        assert_eq!(records.len(), 1);
        let image = image.apply(2, &records);
        assert!(image.client_quotas().is_empty());
        assert_eq!(ask(set(None), &image), (vec![], vec![String::new()]), "what is not there can be removed");
        let checked = AlterClientQuotas { alterations: set(Some(5.0)), validate_only: true };
        assert!(alter(&checked, &image).0.is_empty());
    }

    #[test]
    fn mistakes_are_refused_in_kafkas_words_and_do_not_fail_others() {
        let user = [("user", Some("u"))];
        let rate = [("producer_byte_rate", Some(1.0))];
        let (records, results) = ask(
            vec![
                alteration(&[], &rate),
                alteration(&[("user", Some(""))], &rate),
                alteration(&[("group", Some("g"))], &rate),
                alteration(&[("user", None), ("user", Some("a"))], &rate),
                alteration(&[("client-id", Some("a"))], &[("nothing", Some(1.0))]),
                alteration(&[("client-id", Some("b"))], &[("consumer_byte_rate", Some(0.0))]),
                alteration(&[("client-id", Some("c"))], &[("consumer_byte_rate", Some(1.5))]),
                alteration(&[("client-id", Some("d"))], &[("consumer_byte_rate", Some(1e19))]),
                alteration(&[("client-id", Some("e"))], &[("request_percentage", Some(f64::NAN))]),
                alteration(&[("client-id", Some("f"))], &[("request_percentage", Some(0.5))]),
                alteration(&[("client-id", Some("g"))], &[("connection_creation_rate", Some(5.0))]),
                alteration(&[("ip", Some("127.0.0.1"))], &[("controller_mutation_rate", Some(5.0))]),
                alteration(&[("ip", Some("somewhere"))], &[("connection_creation_rate", Some(5.0))]),
                alteration(&[("ip", None), ("user", None)], &[("connection_creation_rate", Some(5.0))]),
                alteration(&[("ip", Some("::1"))], &[("connection_creation_rate", Some(3e9))]),
                alteration(&[("ip", None)], &[("connection_creation_rate", Some(5.0))]),
                alteration(&[("client-id", Some("h"))], &[("controller_mutation_rate", Some(0.5))]),
                alteration(&user, &rate),
                alteration(&user, &rate),
            ],
            &MetadataImage::default(),
        );
        assert_eq!(records.len(), 3);
        let expected = [
            "Invalid empty client quota entity",
            "Empty user not supported",
            "Unhandled client quota entity type: group",
            "Invalid client quota entity, duplicate entity entry user",
            "Invalid configuration key nothing",
            "Quota consumer_byte_rate must be greater than 0",
            "consumer_byte_rate cannot be a fractional value.",
            "Proposed value for consumer_byte_rate is too large for a LONG.",
            "Quota request_percentage must be greater than 0",
            "",
            "Invalid configuration key connection_creation_rate",
            "Invalid configuration key controller_mutation_rate",
            "somewhere is not a valid IP or resolvable host.",
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
            "Proposed value for connection_creation_rate is too large for an INT.",
            "",
            "",
            "Ignoring duplicate entity",
            "Ignoring duplicate entity",
        ];
        assert_eq!(results, expected);
    }
}
