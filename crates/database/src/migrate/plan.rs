//! What follows from the recorded history and our files. Pure: it asks no database.

use super::error::MigrateError;
use super::history::Recorded;
use super::set::{Migration, MigrationSet};
use super::{MigrationState, MigrationStatus, PROGRAM_VERSION};

/// Octets of a checksum that messages show.
const CHECKSUM_SHOWN: usize = 6;

/// What [`super::Migrator::migrate`] has to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Applied by hand.
    pub(super) adopt: Vec<&'static Migration>,
    /// Missing, in order.
    pub(super) apply: Vec<&'static Migration>,
}

/// Plans the way to the newest version.
pub(super) fn forwards(set: &MigrationSet, recorded: &[Recorded]) -> Result<Plan, MigrateError> {
    if let Some(newer) = newest_unknown(set, recorded) {
        return Err(newer_error(set, newer));
    }
    check_gap(set, recorded)?;
    check_checksums(set, recorded)?;
    let applied = newest(recorded);
    Ok(Plan {
        adopt: recorded
            .iter()
            .filter(|row| row.checksum.is_none())
            .filter_map(|row| set.find(row.version))
            .collect(),
        apply: set
            .migrations()
            .iter()
            .filter(|migration| migration.version > applied)
            .collect(),
    })
}

/// The versions above `to`, newest first.
pub(super) fn backwards(
    set: &MigrationSet,
    recorded: &[Recorded],
    to: i32,
    destroy_data: bool,
) -> Result<Vec<&'static Migration>, MigrateError> {
    if to != 0 && set.find(to).is_none() {
        return Err(MigrateError::UnknownTarget {
            version: to,
            latest: set.latest(),
        });
    }
    if let Some(newer) = newest_unknown(set, recorded) {
        return Err(newer_error(set, newer));
    }
    if !destroy_data {
        check_checksums(set, recorded)?;
    }
    let above = recorded.iter().rev().filter(|row| row.version > to);
    Ok(above.filter_map(|row| set.find(row.version)).collect())
}

/// Whether a program with `set` can serve a database with this history.
pub(super) fn check_for_serving(
    set: &MigrationSet,
    recorded: &[Recorded],
) -> Result<(), MigrateError> {
    let database = set.database.name();
    if recorded.is_empty() {
        return Err(MigrateError::NotInitialized { database });
    }
    check_gap(set, recorded)?;
    check_checksums(set, recorded)?;
    let too_new = recorded
        .iter()
        .rfind(|row| row.version > set.latest() && !is_served_by_us(&row.min_program_version));
    if let Some(newer) = too_new {
        return Err(newer_error(set, newer));
    }
    let found = newest(recorded);
    if found < set.latest() {
        return Err(MigrateError::Outdated {
            database,
            found,
            needed: set.latest(),
        });
    }
    Ok(())
}

/// Every version that the program or the database knows, in order.
pub(super) fn status(set: &MigrationSet, recorded: &[Recorded]) -> Vec<MigrationStatus> {
    let newest = newest(recorded);
    let mut lines: Vec<MigrationStatus> = recorded
        .iter()
        .map(|row| MigrationStatus {
            version: row.version,
            description: row.description.clone(),
            state: match (set.find(row.version), &row.checksum) {
                (None, _) => MigrationState::Unknown,
                (Some(_), None) => MigrationState::AppliedByHand,
                (Some(ours), Some(sum)) if ours.checksum() == sum.as_slice() => {
                    MigrationState::Applied
                }
                (Some(_), Some(_)) => MigrationState::Changed,
            },
            applied: Some((
                row.applied_at,
                row.applied_by.clone(),
                row.execution_time_ms,
            )),
        })
        .collect();
    for migration in set.migrations() {
        if recorded.iter().all(|row| row.version != migration.version) {
            let skipped = migration.version < newest;
            lines.push(MigrationStatus {
                version: migration.version,
                description: description(migration),
                state: if skipped {
                    MigrationState::Skipped
                } else {
                    MigrationState::Pending
                },
                applied: None,
            });
        }
    }
    lines.sort_by_key(|line| line.version);
    lines
}

/// `001_init_core_schema` is described as `init core schema`.
fn description(migration: &Migration) -> String {
    let words = migration
        .name
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    words.replace('_', " ")
}

fn newest(recorded: &[Recorded]) -> i32 {
    recorded.iter().map(|row| row.version).max().unwrap_or(0)
}

fn newest_unknown<'r>(set: &MigrationSet, recorded: &'r [Recorded]) -> Option<&'r Recorded> {
    recorded.iter().rfind(|row| row.version > set.latest())
}

fn newer_error(set: &MigrationSet, newer: &Recorded) -> MigrateError {
    MigrateError::Newer {
        database: set.database.name(),
        found: newer.version,
        known: set.latest(),
        program_version: PROGRAM_VERSION,
        min_program_version: newer.min_program_version.clone(),
    }
}

fn check_gap(set: &MigrationSet, recorded: &[Recorded]) -> Result<(), MigrateError> {
    let applied = newest(recorded);
    let is_recorded = |version: i32| recorded.iter().any(|row| row.version == version);
    match (1..applied).find(|&version| !is_recorded(version)) {
        Some(missing) => Err(MigrateError::Gap {
            database: set.database.name(),
            missing,
            applied,
        }),
        None => Ok(()),
    }
}

fn check_checksums(set: &MigrationSet, recorded: &[Recorded]) -> Result<(), MigrateError> {
    for row in recorded {
        let (Some(ours), Some(checksum)) = (set.find(row.version), &row.checksum) else {
            continue;
        };
        if ours.checksum() != checksum.as_slice() {
            return Err(MigrateError::Changed {
                database: set.database.name(),
                file: format!("{}.sql", ours.name),
                recorded: shown(checksum),
                embedded: shown(&ours.checksum()),
            });
        }
    }
    Ok(())
}

fn shown(checksum: &[u8]) -> String {
    hex::encode(checksum.get(..CHECKSUM_SHOWN).unwrap_or(checksum))
}

/// Whether a schema that asks for `min_program_version` takes this program. What cannot be read is
/// no permission.
fn is_served_by_us(min_program_version: &str) -> bool {
    match (
        parse_version(min_program_version),
        parse_version(PROGRAM_VERSION),
    ) {
        (Some(needed), Some(ours)) => ours >= needed,
        _ => false,
    }
}

/// `major.minor.patch`; what follows a dash does not count.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    let release = text.split('-').next()?;
    let mut parts = release.split('.').map(str::parse);
    let version = [
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next().unwrap_or(Ok(0)).ok()?,
    ];
    parts.next().is_none().then_some(version)
}
