//! DescribeClientQuotas (key 48, versions 0–1): the quotas of users, client ids and addresses that fit a filter (KIP-546).
//!
//! Each part of the filter asks for one name, for the default, or for any; a strict filter fits only what has no other part.
//! Version notes: 1 has tagged fields. Source: `ClientQuotasImage.describe`.

use super::RequestContext;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use std::collections::BTreeMap;

/// The kinds of a filter's parts on the wire. Source: `DescribeClientQuotasRequest.java`.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// What one part of an entity has to be.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Name(QuotaName),
    Any,
}

/// What fits.
#[derive(Debug, Default)]
struct Filter {
    user: Option<Wanted>,
    client_id: Option<Wanted>,
    ip: Option<Wanted>,
    is_strict: bool,
}

type Refusal = (ResponseError, String);

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let response = DescribeClientQuotasResponse::default().with_error_message(None);
    match read(&request) {
        Ok(filter) => {
            let image = context.broker.image();
            let fitting = image.client_quotas().iter().filter(|(entity, _)| filter.fits(entity));
            response.with_entries(Some(fitting.map(|(entity, quotas)| entry(entity, quotas)).collect()))
        }
        // The list is empty, not null, which clients that read before they look at the code do not expect.
        Err((error, message)) => response
            .with_entries(Some(Vec::new()))
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message))),
    }
}

fn read(request: &DescribeClientQuotasRequest) -> Result<Filter, Refusal> {
    let invalid = |message: String| Err((ResponseError::InvalidRequest, message));
    let mut filter = Filter { is_strict: request.strict, ..Filter::default() };
    for component in &request.components {
        let kind = component.entity_type.as_str();
        let part = match kind {
            "" => return invalid("Invalid empty entity type.".to_owned()),
            "user" => &mut filter.user,
            "client-id" => &mut filter.client_id,
            "ip" => &mut filter.ip,
            other => {
                return Err((ResponseError::UnsupportedVersion, format!("Unsupported entity type {other}")));
            }
        };
        if part.replace(wanted(component)?).is_some() {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
    }
    if filter.ip.is_some() && (filter.user.is_some() || filter.client_id.is_some()) {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component."
                .to_owned(),
        );
    }
    Ok(filter)
}

fn wanted(component: &ComponentData) -> Result<Wanted, Refusal> {
    let invalid = |message: &str| Err((ResponseError::InvalidRequest, message.to_owned()));
    match (component.match_type, &component._match) {
        (EXACT, Some(name)) => Ok(Wanted::Name(QuotaName::Named(name.to_string()))),
        (EXACT, None) => invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
        (DEFAULT, None) => Ok(Wanted::Name(QuotaName::Default)),
        (DEFAULT, Some(_)) => {
            invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
        }
        (ANY, None) => Ok(Wanted::Any),
        (ANY, Some(_)) => {
            invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
        }
        (unknown, _) => invalid(&format!("Unknown match type {unknown}")),
    }
}

impl Filter {
    fn fits(&self, entity: &QuotaEntity) -> bool {
        self.part_fits(self.user.as_ref(), entity.user.as_ref())
            && self.part_fits(self.client_id.as_ref(), entity.client_id.as_ref())
            && self.part_fits(self.ip.as_ref(), entity.ip.as_ref())
    }

    fn part_fits(&self, wanted: Option<&Wanted>, part: Option<&QuotaName>) -> bool {
        match (wanted, part) {
            (None, part) => part.is_none() || !self.is_strict,
            (Some(Wanted::Any), part) => part.is_some(),
            (Some(Wanted::Name(name)), part) => part == Some(name),
        }
    }
}

fn entry(entity: &QuotaEntity, quotas: &BTreeMap<QuotaKey, QuotaLimit>) -> EntryData {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let parts = [("user", &entity.user), ("client-id", &entity.client_id), ("ip", &entity.ip)];
    let parts = parts.into_iter().filter_map(|(kind, name)| {
        let name = match name.as_ref()? {
            QuotaName::Default => None,
            QuotaName::Named(name) => Some(text(name)),
        };
        Some(EntityData::default().with_entity_type(text(kind)).with_entity_name(name))
    });
    let values = quotas
        .iter()
        .map(|(key, limit)| ValueData::default().with_key(text(key.name())).with_value(limit.value()));
    EntryData::default().with_entity(parts.collect()).with_values(values.collect())
}

#[cfg(test)]
mod tests;
