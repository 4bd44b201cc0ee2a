//! Single calls and their sums by day: what the journal's lines become. Nothing here is on the way of a call.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::{InstanceKey, OrganizationId, PluginId, ServerId};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use crate::audit::Page;
use crate::column::{Place, milliseconds};
use crate::entity::{calls, journal_segments, usage};
use crate::{DatabaseError, Store};

/// One call, as the journal takes it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Whose call.
    pub organization: OrganizationId,
    /// Which plugin was called.
    pub plugin: PluginId,
    /// What kind of call.
    pub kind: CallKind,
    /// The MCP server, for a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// The tool, prompt or listed resource as its server calls it, or the route's method and pattern. Never what was sent.
    pub name: String,
    /// Who called, as a `Caller` prints itself; `public` for a webhook.
    pub caller: String,
    /// When the call began, in milliseconds since 1970.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub at: DateTime<Utc>,
    /// How long it took, in microseconds.
    #[serde(rename = "us", with = "microseconds")]
    pub duration: Duration,
    /// How it ended.
    pub outcome: CallOutcome,
    /// Why, where it went wrong: `crashed`, `timeout`, …. Never a plugin's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallKind {
    /// A tool of an MCP server.
    Tool,
    /// An HTTP route.
    Route,
    /// A scheduled job.
    Cron,
    /// A procedure of a plugin's own router.
    Procedure,
    /// A resource of an MCP server.
    Resource,
    /// A prompt of an MCP server.
    Prompt,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The plugin did it.
    Done,
    /// The plugin said no.
    Refused,
    /// The caller sent what the plugin does not take.
    BadInput,
    /// The plugin broke.
    PluginBroke,
    /// We broke.
    HostBroke,
}

macro_rules! stored_name {
    ($name:ident, $expected:literal, $($variant:ident => $text:literal),+ $(,)?) => {
        impl $name {
            /// The name that is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = hayloft_model::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(hayloft_model::ids::InvalidId {
                        text: text.chars().take(80).collect(),
                        expected: $expected,
                    }),
                }
            }
        }
    };
}

stored_name!(
    CallKind, "a kind of call",
    Tool => "tool",
    Route => "route",
    Cron => "cron",
    Procedure => "procedure",
    Resource => "resource",
    Prompt => "prompt",
);
stored_name!(
    CallOutcome, "an outcome of a call",
    Done => "done",
    Refused => "refused",
    BadInput => "bad-input",
    PluginBroke => "plugin-broke",
    HostBroke => "host-broke",
);

impl CallOutcome {
    /// Whether somebody should look into it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::PluginBroke | Self::HostBroke)
    }
}

/// A call as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its place in the list; newer ones have larger numbers.
    pub id: i64,
    /// What is known of it.
    pub record: CallRecord,
}

/// The calls of one name on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which plugin was called.
    pub plugin: PluginId,
    /// What kind of call.
    pub kind: CallKind,
    /// The tool, route or job.
    pub name: String,
    /// The day in UTC, `2026-11-20`.
    pub day: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them broke.
    pub failures: u64,
    /// How long all of them took together.
    pub duration: Duration,
}

/// Operations on calls.
#[derive(Clone, Copy)]
pub struct Calls<'a> {
    pub(crate) store: &'a Store,
}

impl Calls<'_> {
    /// An organization's calls, newest first, as far as the journal was replayed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self, organization: OrganizationId, page: Page) -> Result<Vec<Call>, DatabaseError> {
        let mut query =
            calls::Entity::find().filter(calls::Column::OrganizationId.eq(organization.to_string()));
        if let Some(before) = page.before {
            query = query.filter(calls::Column::Id.lt(before));
        }
        query
            .order_by_desc(calls::Column::Id)
            .limit(page.limit)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the calls"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// An organization's sums from a day on (`2026-11-20`), by day, plugin, kind and name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage(
        self,
        organization: OrganizationId,
        from_day: &str,
    ) -> Result<Vec<Usage>, DatabaseError> {
        usage::Entity::find()
            .filter(usage::Column::OrganizationId.eq(organization.to_string()))
            .filter(usage::Column::Day.gte(from_day))
            .order_by_asc(usage::Column::Day)
            .order_by_asc(usage::Column::PluginId)
            .order_by_asc(usage::Column::Kind)
            .order_by_asc(usage::Column::Name)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the usage"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// All sums of an instance, by kind, name and day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage_of(self, key: &InstanceKey) -> Result<Vec<Usage>, DatabaseError> {
        usage::Entity::find()
            .filter(usage::Column::OrganizationId.eq(key.organization.to_string()))
            .filter(usage::Column::PluginId.eq(key.plugin.to_string()))
            .order_by_asc(usage::Column::Kind)
            .order_by_asc(usage::Column::Name)
            .order_by_asc(usage::Column::Day)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the usage of a plugin"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// Forgets single calls that began before a time; their sums stay.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_before(self, time: DateTime<Utc>) -> Result<(), DatabaseError> {
        let write = self.store.begin("forget old calls").await?;
        calls::Entity::delete_many()
            .filter(calls::Column::At.lt(milliseconds(time)))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        journal_segments::Entity::delete_many()
            .filter(journal_segments::Column::ReplayedAt.lt(milliseconds(time)))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// How many lines of a journal's segment are in the database already.
    pub(crate) async fn replayed_lines(self, segment: &str) -> Result<u64, DatabaseError> {
        let row = journal_segments::Entity::find_by_id(segment)
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read how far the journal was replayed"))?;
        row.map_or(Ok(0), |row| Place("journal_segments", "lines").count(row.lines))
    }

    /// Takes calls over from a segment, of which so many lines are done by then. Calls, sums and the mark are one
    /// transaction, so each line counts once, however often its segment is replayed.
    pub(crate) async fn take_over(
        self,
        segment: &str,
        records: Vec<CallRecord>,
        lines: u64,
    ) -> Result<(), DatabaseError> {
        let write = self.store.begin("replay the journal").await?;
        let sums = summed(&records);
        let mut rows: Vec<_> = records.into_iter().map(row).collect();
        // In groups of powers of two: a connection keeps a hundred of the statements that it prepared, and one for each
        // number of rows would take megabytes.
        while let Some(power) = rows.len().checked_ilog2() {
            let rest = rows.split_off(1 << power);
            calls::Entity::insert_many(rows)
                .exec_without_returning(&write.transaction)
                .await
                .map_err(write.failed())?;
            rows = rest;
        }
        for sum in sums {
            usage::Entity::insert(sum)
                .on_conflict(added())
                .exec_without_returning(&write.transaction)
                .await
                .map_err(write.failed())?;
        }
        let mark = journal_segments::ActiveModel {
            segment: Set(segment.to_owned()),
            lines: Set(i64::try_from(lines).unwrap_or(i64::MAX)),
            replayed_at: Set(milliseconds(self.store.now())),
        };
        let replace = OnConflict::column(journal_segments::Column::Segment)
            .update_columns([journal_segments::Column::Lines, journal_segments::Column::ReplayedAt])
            .to_owned();
        journal_segments::Entity::insert(mark)
            .on_conflict(replace)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }
}

fn row(record: CallRecord) -> calls::ActiveModel {
    calls::ActiveModel {
        id: NotSet,
        organization_id: Set(record.organization.to_string()),
        plugin_id: Set(record.plugin.to_string()),
        kind: Set(record.kind.as_str().to_owned()),
        server_id: Set(record.server.map(|server| server.to_string())),
        name: Set(record.name),
        caller: Set(record.caller),
        at: Set(milliseconds(record.at)),
        duration_us: Set(stored_duration(record.duration)),
        outcome: Set(record.outcome.as_str().to_owned()),
        reason: Set(record.reason),
    }
}

fn stored_duration(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct Sum {
    calls: i64,
    failures: i64,
    duration_us: i64,
}

/// Sums of a batch in one fixed order, so that two nodes that add to the same rows never wait for each other in a
/// circle.
fn summed(records: &[CallRecord]) -> Vec<usage::ActiveModel> {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for record in records {
        let day = record.at.date_naive().to_string();
        let key = (record.organization, &record.plugin, record.kind, &record.name, day);
        let sum = sums.entry(key).or_default();
        sum.calls += 1;
        sum.failures += i64::from(record.outcome.is_failure());
        sum.duration_us = sum.duration_us.saturating_add(stored_duration(record.duration));
    }
    sums.into_iter()
        .map(|((organization, plugin, kind, name, day), sum)| usage::ActiveModel {
            organization_id: Set(organization.to_string()),
            plugin_id: Set(plugin.to_string()),
            kind: Set(kind.as_str().to_owned()),
            name: Set(name.clone()),
            day: Set(day),
            calls: Set(sum.calls),
            failures: Set(sum.failures),
            duration_us: Set(sum.duration_us),
        })
        .collect()
}

/// What is there plus what comes.
fn added() -> OnConflict {
    let sum = |column: usage::Column| {
        let new = Expr::col((Alias::new("excluded"), column));
        (column, Expr::col((usage::Entity, column)).add(new))
    };
    OnConflict::columns([
        usage::Column::OrganizationId,
        usage::Column::PluginId,
        usage::Column::Kind,
        usage::Column::Name,
        usage::Column::Day,
    ])
    .values([sum(usage::Column::Calls), sum(usage::Column::Failures), sum(usage::Column::DurationUs)])
    .to_owned()
}

impl TryFrom<calls::Model> for Call {
    type Error = DatabaseError;

    fn try_from(row: calls::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.id,
            record: CallRecord {
                organization: Place("calls", "organization_id").parse(&row.organization_id)?,
                plugin: Place("calls", "plugin_id").parse(&row.plugin_id)?,
                kind: Place("calls", "kind").parse(&row.kind)?,
                server: row.server_id.map(|server| Place("calls", "server_id").parse(&server)).transpose()?,
                name: row.name,
                caller: row.caller,
                at: Place("calls", "at").time(row.at)?,
                duration: Duration::from_micros(Place("calls", "duration_us").count(row.duration_us)?),
                outcome: Place("calls", "outcome").parse(&row.outcome)?,
                reason: row.reason,
            },
        })
    }
}

impl TryFrom<usage::Model> for Usage {
    type Error = DatabaseError;

    fn try_from(row: usage::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            plugin: Place("usage", "plugin_id").parse(&row.plugin_id)?,
            kind: Place("usage", "kind").parse(&row.kind)?,
            name: row.name,
            day: row.day,
            calls: Place("usage", "calls").count(row.calls)?,
            failures: Place("usage", "failures").count(row.failures)?,
            duration: Duration::from_micros(Place("usage", "duration_us").count(row.duration_us)?),
        })
    }
}
