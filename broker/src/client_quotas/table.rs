//! Which quota holds for whom.
//!
//! The most exact one, users before client ids (KIP-124). All requests for which the same one holds by name share it: a
//! user's quota is shared by all of its client ids, a quota of a client id by all users that have none.
//! Source: `ClientQuotaManager.DefaultQuotaCallback`.

use replication::metadata::image::ClientQuotas;
use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaName};
use std::collections::HashMap;

/// Who shares a rate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    /// The user; `None` for whoever has this client id.
    pub(super) user: Option<String>,
    /// The client id; `None` for all of a user's.
    pub(super) client_id: Option<String>,
}

/// The limits of one kind of quota.
#[derive(Debug, Default)]
pub(super) struct Table {
    limits: HashMap<QuotaEntity, f64>,
}

impl Table {
    /// The limits of `key`.
    pub(super) fn of(quotas: &ClientQuotas, key: QuotaKey) -> Self {
        let limit = |(entity, limits): (&QuotaEntity, &std::collections::BTreeMap<QuotaKey, _>)| {
            let limit: &replication::metadata::quota::QuotaLimit = limits.get(&key)?;
            Some((entity.clone(), limit.value()))
        };
        Self { limits: quotas.iter().filter_map(limit).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// The limit for requests of `user` with this client id, and who shares it with them.
    pub(super) fn find(&self, user: &str, client_id: &str) -> Option<(Bucket, f64)> {
        if self.limits.is_empty() {
            return None;
        }
        let named = |name: &str| Some(QuotaName::Named(name.to_owned()));
        let default = || Some(QuotaName::Default);
        let users = [named(user), named(user), named(user), default(), default(), default(), None, None];
        let client_ids = [
            named(client_id),
            default(),
            None,
            named(client_id),
            default(),
            None,
            named(client_id),
            default(),
        ];
        users.into_iter().zip(client_ids).find_map(|(for_user, for_client_id)| {
            let bucket = Bucket {
                user: for_user.is_some().then(|| user.to_owned()),
                client_id: for_client_id.is_some().then(|| client_id.to_owned()),
            };
            let limit = self.limits.get(&QuotaEntity { user: for_user, client_id: for_client_id })?;
            Some((bucket, *limit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Table};
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
            let entity = QuotaEntity { user: name(user), client_id: name(client_id) };
            quotas.insert(entity, [(QuotaKey::ProducerByteRate, limit)].into());
            let table = Table::of(&quotas, QuotaKey::ProducerByteRate);
            let shared = |part: &str, name: &str| (!part.is_empty()).then(|| name.to_owned());
            let bucket = Bucket { user: shared(user, "u"), client_id: shared(client_id, "c") };
            assert_eq!(table.find("u", "c"), Some((bucket, limit.value())), "{user:?} and {client_id:?}");
            assert!(Table::of(&quotas, QuotaKey::ConsumerByteRate).is_empty());
        }
    }

    #[test]
    fn who_has_no_quota_is_not_limited() {
        let entity = QuotaEntity { user: name("u"), client_id: name("c") };
        let quotas = [(entity, [(QuotaKey::RequestPercentage, QuotaLimit::of(1.0))].into())].into();
        let table = Table::of(&quotas, QuotaKey::RequestPercentage);
        assert_eq!((table.find("u", "d"), table.find("v", "c")), (None, None));
    }
}
