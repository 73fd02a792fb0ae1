//! Changing organizations: what one decides about itself, and what the System organization decides.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::CoreEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::permission::{Action, Resource};
use clm_domain::states::OrganizationStatus;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{
    OrganizationDetail, OrganizationRecord, authorize_one, check_name, check_quotas, event,
};
use crate::access;
use crate::context::OpContext;
use crate::error::{CoreError, Result, revision_changed};
use crate::store::{audit_log, organizations, roles, sessions};
use crate::texts::check_reason;
use crate::{Core, audit};

/// A change of an organization: what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it decides about itself, as a whole.
    pub settings: Option<OrganizationSettings>,
    /// Most users whose home it is; `Some(None)`: no limit. From the System organization only.
    pub max_users: Option<Option<i64>>,
    /// Most live certificates; `Some(None)`: no limit. From the System organization only.
    pub max_certificates: Option<Option<i64>>,
}

/// Changes an organization of which `revision` was read.
///
/// # Errors
/// `Invalid`, naming the fields; `Conflict` with code `revision_changed`; `Forbidden` with code
/// `system_organization_only` for quotas from elsewhere; `NotFound` for unknown and foreign ids
/// alike; those of [`access::authorize`] and of the database.
pub async fn update(
    context: &OpContext,
    core: &Core,
    (organization_id, revision): (OrganizationId, i64),
    change: OrganizationChange,
) -> Result<OrganizationDetail> {
    authorize_one(context, core, Action::Update, organization_id).await?;
    if change.max_users.is_some() || change.max_certificates.is_some() {
        access::authorize_across(context, core, Action::Update, Resource::Organization).await?;
    }
    let change = Arc::new(checked(change)?);
    let scope = match access::acts_from_system(context) {
        true => Scope::System("who governs organizations changes each of them"),
        false => Scope::Organization(organization_id),
    };
    let now = core.clock.now();
    let row = event(
        context,
        core,
        CoreEvent::OrganizationChanged,
        organization_id,
    );
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("organizations::update", scope, |connection| {
            let (change, mut row) = (Arc::clone(&change), row.clone());
            Box::pin(async move {
                let present = lock(connection, organization_id).await?;
                if present.revision != revision {
                    let error = revision_changed("organization", present.revision, revision);
                    return Err(Abort::Caller(error));
                }
                check_roles(connection, organization_id, &change).await?;
                let details = details(&present, &change);
                let changed = merged(present, &change);
                write(connection, scope, &changed).await?;
                row = row.with_details(details);
                audit_log::insert(connection, &row).await?;
                let found = organizations::find_detail(connection, organization_id, now).await?;
                found.ok_or_else(|| Abort::Caller(not_found()))
            })
        })
        .await;
    let changed = audit::refusal(context, core, &row, outcome).await?;
    core.certificate_quotas.evict(organization_id);
    Ok(changed)
}

fn checked(mut change: OrganizationChange) -> Result<OrganizationChange> {
    change.name = change.name.as_deref().map(check_name).transpose()?;
    check_quotas(
        change.max_users.flatten(),
        change.max_certificates.flatten(),
    )?;
    let violations = change
        .settings
        .as_ref()
        .map(OrganizationSettings::violations)
        .unwrap_or_default();
    if violations.is_empty() {
        return Ok(change);
    }
    let message = "Some settings lie outside their bounds.";
    let mut fault = Fault::new(ErrorKind::Invalid, "settings_out_of_range", message);
    fault.violations = violations;
    Err(fault.into())
}

/// Refuses a second factor for holders of roles that do not exist: it would be asked of nobody.
async fn check_roles(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    change: &OrganizationChange,
) -> std::result::Result<(), Abort<CoreError>> {
    let Some(settings) = &change.settings else {
        return Ok(());
    };
    let codes = &settings.second_factor_roles;
    let unknown = roles::list_unknown_codes(connection, organization_id, codes).await?;
    let Some(code) = unknown.first() else {
        return Ok(());
    };
    let message = format!("There is no role '{code}' here: 'clm role list' shows their codes.");
    let field = "settings.second_factor_roles";
    Err(Abort::Caller(
        Fault::invalid("role_unknown", field, message).into(),
    ))
}

/// The organization as it is, which nobody else changes until the end of the transaction.
async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> std::result::Result<OrganizationRecord, Abort<CoreError>> {
    let found = organizations::lock(connection, organization_id).await?;
    found.ok_or_else(|| Abort::Caller(not_found()))
}

fn merged(present: OrganizationRecord, change: &OrganizationChange) -> OrganizationRecord {
    OrganizationRecord {
        name: change.name.clone().unwrap_or(present.name),
        settings: change.settings.clone().unwrap_or(present.settings),
        max_users: change.max_users.unwrap_or(present.max_users),
        max_certificates: change.max_certificates.unwrap_or(present.max_certificates),
        ..present
    }
}

/// Of what changes: how it was and how it is.
fn details(present: &OrganizationRecord, change: &OrganizationChange) -> Value {
    let mut details = serde_json::Map::new();
    details.insert("slug".to_owned(), json!(present.slug));
    if let Some(name) = &change.name {
        details.insert("name".to_owned(), json!([present.name, name]));
    }
    if let Some(settings) = &change.settings {
        details.insert("settings".to_owned(), json!([present.settings, settings]));
    }
    if let Some(max_users) = &change.max_users {
        details.insert(
            "max_users".to_owned(),
            json!([present.max_users, max_users]),
        );
    }
    if let Some(most) = &change.max_certificates {
        let both = json!([present.max_certificates, most]);
        details.insert("max_certificates".to_owned(), both);
    }
    Value::Object(details)
}

/// An organization itself is not able to write its quotas.
async fn write(
    connection: &mut PgConnection,
    scope: Scope,
    changed: &OrganizationRecord,
) -> sqlx::Result<()> {
    match scope {
        Scope::Organization(_) => organizations::update_own(connection, changed).await,
        Scope::System(_) => organizations::update_governed(connection, changed).await,
    }
}

/// Suspends, closes or opens an organization, from the System organization. It acts at once here and
/// within a second on other replicas; the sessions of one that is closed end.
///
/// # Errors
/// `Invalid`, naming `reason`; `Conflict` with code `system_organization`; `Forbidden` with code
/// `system_organization_only` for whoever acts from elsewhere; `NotFound` for unknown and foreign
/// ids alike; those of [`access::authorize`] and of the database.
pub async fn set_status(
    context: &OpContext,
    core: &Core,
    organization_id: OrganizationId,
    (status, reason): (OrganizationStatus, String),
) -> Result<OrganizationDetail> {
    authorize_one(context, core, Action::Update, organization_id).await?;
    access::authorize_across(context, core, Action::Update, Resource::Organization).await?;
    let reason = check_reason(&reason)?;
    let row = event(
        context,
        core,
        CoreEvent::OrganizationStatusChanged,
        organization_id,
    );
    if organization_id == SYSTEM_ORGANIZATION {
        return audit::refusal(context, core, &row, Err(system_organization())).await;
    }
    let now = whole_milliseconds(core.clock.now());
    let row = Arc::new((row, reason));
    let scope = Scope::System("who governs organizations opens and closes each of them");
    let changed = core
        .pool
        .transact::<_, CoreError, _>("organizations::set_status", scope, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                let present = lock(connection, organization_id).await?;
                if present.status != status {
                    let ended = change_status(connection, organization_id, (status, now)).await?;
                    let (row, reason) = row.as_ref();
                    let row = row.clone().with_details(json!({
                        "slug": present.slug, "status": [present.status, status],
                        "sessions_ended": ended, "stated_reason": reason,
                    }));
                    audit_log::insert(connection, &row).await?;
                }
                let found = organizations::find_detail(connection, organization_id, now).await?;
                found.ok_or_else(|| Abort::Caller(not_found()))
            })
        })
        .await?;
    core.authentication_cache.evict_all();
    Ok(changed)
}

/// Writes the status. Returns how many sessions that ended.
async fn change_status(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    (status, now): (OrganizationStatus, DateTime<Utc>),
) -> sqlx::Result<u64> {
    organizations::update_status(connection, organization_id, status).await?;
    match status {
        OrganizationStatus::Inactive => {
            sessions::end_of_organization(connection, organization_id, now).await
        }
        OrganizationStatus::Active | OrganizationStatus::Suspended => Ok(0),
    }
}

fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::Organization)).into()
}

fn system_organization() -> CoreError {
    let message = "The System organization is always active.";
    Fault::new(ErrorKind::Conflict, "system_organization", message).into()
}
