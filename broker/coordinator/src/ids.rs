//! The identifiers of groups, one type for each meaning. Texts are shared, so a clone costs no allocation.

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The id as clients write it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The name of a group, `group.id`.
    GroupId
);
text_id!(
    /// One life of a member of a group.
    MemberId
);
text_id!(
    /// The name that a static member keeps across its lives, `group.instance.id`. Source: KIP-345.
    InstanceId
);

macro_rules! epoch {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

epoch!(
    /// How often a classic group has completed a rebalance.
    GenerationId
);
epoch!(
    /// How often the inputs of a consumer group's assignment (members, subscriptions, topics) have changed, and also
    /// the group epoch in which a target assignment was computed. Source: KIP-848.
    GroupEpoch
);
epoch!(
    /// The target assignment that a member of a consumer group has reached. Source: KIP-848.
    MemberEpoch
);

impl GenerationId {
    /// "No generation", as the wire writes it: who commits is no member.
    pub const NONE: Self = Self(-1);
}

impl GroupEpoch {
    /// The epoch after this one. The last there is stays, which no group lives to see.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl MemberEpoch {
    /// The epoch with which a member joins.
    pub const JOIN: Self = Self(0);
    /// The epoch with which a member leaves for good.
    pub const LEAVE: Self = Self(-1);
    /// The epoch with which a static member leaves for a while.
    pub const LEAVE_STATIC: Self = Self(-2);
}
