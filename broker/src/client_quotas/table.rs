//! Which quota holds for whom.
//!
//! The most exact one, users before client ids (KIP-124). All requests for which the same one holds by name share it: a
//! user's quota is shared by all of its client ids, a quota of a client id by all users that have none.
//! Source: `ClientQuotaManager.DefaultQuotaCallback`.

use replication::metadata::image::ClientQuotas;
use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit};
use std::collections::{BTreeMap, HashMap};

/// The limits of one kind of quota.
#[derive(Debug, Default)]
pub(super) struct Table {
    limits: HashMap<QuotaEntity, f64>,
}

impl Table {
    /// The limits of `key`.
    pub(super) fn of(quotas: &ClientQuotas, key: QuotaKey) -> Self {
        let limit = |(entity, limits): (&QuotaEntity, &BTreeMap<QuotaKey, QuotaLimit>)| {
            Some((entity.clone(), limits.get(&key)?.value()))
        };
        Self { limits: quotas.iter().filter_map(limit).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// The limit for requests of `user` with this client id, and who shares it with them.
    pub(super) fn find(&self, user: &str, client_id: &str) -> Option<(QuotaEntity, f64)> {
        if self.limits.is_empty() {
            return None;
        }
        QuotaEntity::of_client(user, client_id).into_iter().find_map(|entity| {
            let limit = self.limits.get(&entity)?;
            Some((entity.shared_by(user, client_id), *limit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};

    fn name(text: &str) -> Option<QuotaName> {
        match text {
            "" => None,
            "*" => Some(QuotaName::Default),
            name => Some(QuotaName::Named(name.to_owned())),
        }
    }

    #[test]
    fn the_most_exact_quota_holds_users_before_client_ids() {
        // From the least exact to the most: each one that is added holds from then on.
        let order =
            [("", "*"), ("", "c"), ("*", ""), ("*", "*"), ("*", "c"), ("u", ""), ("u", "*"), ("u", "c")];
        let mut quotas = std::collections::BTreeMap::new();
        for (place, (user, client_id)) in order.into_iter().enumerate() {
            let limit = QuotaLimit::of(place as f64 + 1.0);
            let entity = QuotaEntity { user: name(user), client_id: name(client_id), ip: None };
            quotas.insert(entity, [(QuotaKey::ProducerByteRate, limit)].into());
            let table = Table::of(&quotas, QuotaKey::ProducerByteRate);
            let shared = |part: &str, of: &str| if part.is_empty() { None } else { name(of) };
            let sharers =
                QuotaEntity { user: shared(user, "u"), client_id: shared(client_id, "c"), ip: None };
            assert_eq!(table.find("u", "c"), Some((sharers, limit.value())), "{user:?} and {client_id:?}");
            assert!(Table::of(&quotas, QuotaKey::ConsumerByteRate).is_empty());
        }
    }

    #[test]
    fn who_has_no_quota_is_not_limited() {
        let entity = QuotaEntity { user: name("u"), client_id: name("c"), ip: None };
        let quotas = [(entity, [(QuotaKey::RequestPercentage, QuotaLimit::of(1.0))].into())].into();
        let table = Table::of(&quotas, QuotaKey::RequestPercentage);
        assert_eq!((table.find("u", "d"), table.find("v", "c")), (None, None));
    }
    #[test]
    fn long_names_are_told_apart_by_how_they_begin() {
        let quotas = [(
            QuotaEntity { client_id: name("*"), ..QuotaEntity::default() },
            [(QuotaKey::ProducerByteRate, QuotaLimit::of(1.0))].into(),
        )];
        let table = Table::of(&quotas.into(), QuotaKey::ProducerByteRate);
        let long = "ä".repeat(10_000);
        let sharers = |client_id: &str| table.find("u", client_id).map(|(sharers, _)| sharers);
        assert_eq!(sharers(&long), sharers(&format!("{long}b")));
        assert_ne!(sharers("a"), sharers("b"));
    }
}
