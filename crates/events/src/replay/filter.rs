use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use time::OffsetDateTime;
use time::serde::rfc3339;

use crate::{Envelope, Place};

/// Which events a replay brings, as it lies in its subscription's row. What an older release does not know it refuses to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub(super) since: Option<OffsetDateTime>,
    /// The first place, its tick and its position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<(i64, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// All, if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<String>,
}

impl Filter {
    /// As the column `filter` has it; `None` if this release can't read it.
    pub(crate) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Texts, ids and a time: writing them can't fail. If it did, the empty text would be refused by the server.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the replay brings this event.
    pub(crate) fn passes(&self, event: &Envelope) -> bool {
        self.since.is_none_or(|since| event.at >= since)
            && self.from.is_none_or(|(tick, pos)| event.place >= Place::new(tick, pos))
            && self.tenant.is_none_or(|tenant| event.tenant == tenant)
            && self.key.as_ref().is_none_or(|key| event.key == *key)
            && (self.names.is_empty() || self.names.contains(&event.name))
    }

    /// What the server could not even store.
    pub(super) fn is_vain(&self) -> bool {
        self.names.iter().chain(&self.key).any(|word| word.contains('\0'))
    }
}

#[cfg(test)]
mod tests {
    use shared_core::{Actor, Context};
    use time::Duration;
    use uuid::Uuid;

    use super::*;
    use crate::Lane;

    fn event(tenant: TenantId) -> Envelope {
        Envelope {
            id: Uuid::now_v7(),
            name: "note.created".to_owned(),
            version: 1,
            key: "a".to_owned(),
            tenant,
            at: OffsetDateTime::UNIX_EPOCH,
            context: Context::new(tenant, Actor::new("test")),
            payload: "{}".to_owned(),
            lane: Lane::new(0).unwrap(),
            place: Place::new(3, 7),
            replay: true,
            xid: None,
        }
    }

    #[test]
    fn all_that_is_said_has_to_fit() {
        let tenant = TenantId::new();
        let fitting = Filter {
            since: Some(OffsetDateTime::UNIX_EPOCH),
            from: Some((3, 7)),
            tenant: Some(tenant),
            key: Some("a".to_owned()),
            names: vec!["other".to_owned(), "note.created".to_owned()],
        };
        assert!(fitting.passes(&event(tenant)) && Filter::default().passes(&event(tenant)));
        for other in [
            Filter { since: Some(OffsetDateTime::UNIX_EPOCH + Duration::SECOND), ..fitting.clone() },
            Filter { from: Some((3, 8)), ..fitting.clone() },
            Filter { tenant: Some(TenantId::new()), ..fitting.clone() },
            Filter { key: Some("b".to_owned()), ..fitting.clone() },
            Filter { names: vec!["other".to_owned()], ..fitting.clone() },
        ] {
            assert!(!other.passes(&event(tenant)), "{other:?}");
        }
        assert_eq!(Filter::read(&fitting.to_json()), Some(fitting));
        assert_eq!(Filter::read("{}"), Some(Filter::default()));
        assert_eq!(Filter::read(r#"{"site": 1}"#), None, "what a later release may add is not passed over");
    }
}
