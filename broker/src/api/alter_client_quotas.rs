//! AlterClientQuotas (key 49, versions 0–1): sets and removes quotas of users, client ids and addresses (KIP-546).
//!
//! A quota is in force on this node once it is answered, and on the others when they have followed the metadata. What is not
//! done: host names for addresses (INVALID_REQUEST). Version notes: 1 has tagged fields.
//! Source: `ControllerApis.handleAlterClientQuotas`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::EntryData;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData as Answer};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::client_quotas::{AlterClientQuotas, AlterQuotaError, QuotaAlteration};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::quota::QuotaLimit;
use std::collections::BTreeMap;

pub(crate) async fn handle(
    context: RequestContext,
    request: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let alterations = request.entries.iter().map(alteration).collect();
    let alter = AlterClientQuotas { alterations, validate_only: request.validate_only };
    let alter = ControllerRequest::AlterClientQuotas(alter);
    let entries = match context.broker.propose(alter, limits::METADATA_CHANGE_TIMEOUT).await {
        Ok(ControllerReply::AlterClientQuotas(results)) => request
            .entries
            .into_iter()
            .zip(results)
            .map(|(entry, result)| {
                let result =
                    result.map_err(|error| (error_code::of_alter_quota(&error), sentence(&error, &entry)));
                answer(entry, result)
            })
            .collect(),
        Ok(other) => unreachable!("the controller answered quotas with {other:?}"),
        Err(error) => request
            .entries
            .into_iter()
            .map(|entry| answer(entry, Err((error_code::of_propose(&error), error.to_string()))))
            .collect(),
    };
    AlterClientQuotasResponse::default().with_entries(entries)
}

fn alteration(entry: &EntryData) -> QuotaAlteration {
    let part = |part: &kafka_protocol::messages::alter_client_quotas_request::EntityData| {
        (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string))
    };
    let limit = |change: &kafka_protocol::messages::alter_client_quotas_request::OpData| {
        (change.key.to_string(), (!change.remove).then_some(QuotaLimit::of(change.value)))
    };
    QuotaAlteration {
        entity: entry.entity.iter().map(part).collect(),
        limits: entry.ops.iter().map(limit).collect(),
    }
}

/// Why an entity's quotas did not change, in Kafka's words: with the entity where the request contradicts itself about it.
fn sentence(error: &AlterQuotaError, entry: &EntryData) -> String {
    match error {
        AlterQuotaError::DuplicateEntity | AlterQuotaError::DuplicateKey { .. } => {
            let name = |name: &Option<StrBytes>| name.as_ref().map_or("null".to_owned(), ToString::to_string);
            let parts: BTreeMap<String, String> = entry
                .entity
                .iter()
                .map(|part| (part.entity_type.to_string(), name(&part.entity_name)))
                .collect();
            let parts: Vec<_> = parts.into_iter().map(|(kind, name)| format!("{kind}={name}")).collect();
            format!("{error} ClientQuotaEntity(entries={{{}}})", parts.join(", "))
        }
        AlterQuotaError::EmptyEntity
        | AlterQuotaError::DuplicatePart { .. }
        | AlterQuotaError::UnknownPart { .. }
        | AlterQuotaError::Address
        | AlterQuotaError::EmptyName { .. }
        | AlterQuotaError::NameTooLong { .. }
        | AlterQuotaError::UnknownKey { .. }
        | AlterQuotaError::NotPositive { .. }
        | AlterQuotaError::Fractional { .. }
        | AlterQuotaError::TooLarge { .. }
        | AlterQuotaError::TooManyEntities
        | AlterQuotaError::NotAnAddress { .. }
        | AlterQuotaError::TooLargeInt { .. } => error.to_string(),
    }
}

fn answer(entry: EntryData, result: Result<(), (ResponseError, String)>) -> Answer {
    let parts = entry.entity.into_iter().map(|part| {
        EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name)
    });
    let answer = Answer::default().with_entity(parts.collect()).with_error_message(None);
    match result {
        Ok(()) => answer,
        Err((error, message)) => {
            answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData};
    use kafka_protocol::protocol::StrBytes;
    use replication::controller::client_quotas::AlterQuotaError;

    #[test]
    fn what_a_request_says_twice_is_refused_with_the_entity() {
        let part = |kind, name: Option<&'static str>| {
            EntityData::default()
                .with_entity_type(StrBytes::from_static_str(kind))
                .with_entity_name(name.map(StrBytes::from_static_str))
        };
        let entry =
            EntryData::default().with_entity(vec![part("user", Some("alice")), part("client-id", None)]);
        assert_eq!(
            sentence(&AlterQuotaError::DuplicateEntity, &entry),
            "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=null, user=alice})"
        );
        let twice = AlterQuotaError::DuplicateKey { key: "producer_byte_rate".to_owned() };
        assert!(
            sentence(&twice, &entry)
                .ends_with("for this entity ClientQuotaEntity(entries={client-id=null, user=alice})")
        );
        assert_eq!(sentence(&AlterQuotaError::EmptyEntity, &entry), "Invalid empty client quota entity");
    }
}
