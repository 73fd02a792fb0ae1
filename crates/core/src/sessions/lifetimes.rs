//! How long a session may last: never longer than the installation allows, and shorter where the
//! organization says so.

use chrono::{DateTime, Duration, Utc};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::states::SessionSecondFactor;

use super::OWED_MINUTES;
use crate::store::sessions::NewSession;

/// Shortens a new session to what its organization allows, and one that owes its second factor to the time
/// that giving it takes.
pub(super) fn limit(session: &mut NewSession, settings: &OrganizationSettings) {
    if session.second_factor == SessionSecondFactor::Owed {
        let soon = session.created_at + Duration::minutes(OWED_MINUTES);
        session.expires_at = session.expires_at.min(soon);
    }
    let end = end(session.created_at, settings);
    session.expires_at = earlier(session.expires_at, end);
    let idle = idle_end(session.created_at, settings);
    session.idle_expires_at = earlier(session.idle_expires_at, idle).min(session.expires_at);
}

/// When a session that began then ends in any case, where the organization says so.
pub(super) fn end(
    created_at: DateTime<Utc>,
    settings: &OrganizationSettings,
) -> Option<DateTime<Utc>> {
    let hours = settings.session_hours_max?;
    Some(created_at + Duration::hours(hours.into()))
}

/// When a session that was used then ends without further use, where the organization says so.
pub(super) fn idle_end(
    used_at: DateTime<Utc>,
    settings: &OrganizationSettings,
) -> Option<DateTime<Utc>> {
    let minutes = settings.session_idle_minutes?;
    Some(used_at + Duration::minutes(minutes.into()))
}

/// The earlier one of an end that there is and one that there may be.
pub(super) fn earlier(end: DateTime<Utc>, other: Option<DateTime<Utc>>) -> DateTime<Utc> {
    other.map_or(end, |other| other.min(end))
}
