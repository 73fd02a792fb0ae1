//! Rows of `certificate_metadata`: the projection of certificates, and what people add.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clm_database::{DatabaseError, Pool};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{CertificateId, CertificateRequestId, IssuerId, OrganizationId, UserId};
use clm_domain::states::{CertificateStatus, CertificateType, DeploymentEnvironment};
use clm_secure_api::event::CertificateRecord;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::certificates::Certificate;

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The row is new or rose to the revision.
    Applied,
    /// The row had this or a higher revision.
    AlreadyApplied,
}

/// Brings the projection to `record` together with its audit event, in one statement that carries
/// its scope and commits by itself. A revision that is not higher changes nothing and writes no
/// event. A new row counts as made when the event occurred, as the first answer says.
#[expect(clippy::too_many_lines, reason = "one statement with its parameters")]
pub(crate) async fn apply(
    pool: &Pool,
    record: &CertificateRecord,
    audit: &AuditRow,
    occurred_at: DateTime<Utc>,
) -> Result<Applied, DatabaseError> {
    let common_name_normalized = record.common_name.as_deref().map(normalize);
    let custom_fields = serde_json::to_value(&record.context.custom_fields).unwrap_or_default();
    let digest = audit.canonical_sha256();
    let applied = sqlx::query_scalar!(
        r#"-- certificate_metadata::apply
        WITH scope AS MATERIALIZED (SELECT set_config('app.current_org_id', $1, true) AS org),
        applied AS (
            INSERT INTO certificate_metadata (
                id, organization_id, certificate_id, certificate_request_id, issuer_id,
                certificate_type, status, serial_number, common_name, common_name_normalized,
                subject, subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm,
                not_before, not_after, owner_user_id, has_private_key, environment, tags,
                custom_fields, revision, created_at, updated_at)
            SELECT $2, org::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                $17, $18, $19, $20, $21, $22, $23, $24, $24
            FROM scope
            ON CONFLICT (organization_id, certificate_id) DO UPDATE
            SET status = excluded.status, has_private_key = excluded.has_private_key,
                revision = excluded.revision
            WHERE certificate_metadata.revision < excluded.revision
            RETURNING certificate_id),
        recorded AS (
            INSERT INTO audit_log (
                id, event_timestamp, organization_id, event_code, event_category, severity, result,
                actor_type, actor_id, user_id, resource_type, resource_id, request_id, session_id,
                ip_address, user_agent, reason, details, canonical_sha256)
            SELECT $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
                $41, $42, $43
            FROM applied
            RETURNING id)
        SELECT count(*) AS "count!" FROM recorded"#,
        record.organization_id.to_string(),
        record.certificate_id.as_uuid(),
        record.certificate_id.as_uuid(),
        record.certificate_request_id.map(Uuid::from),
        record.issuer_id.map(Uuid::from),
        record.certificate_type.as_str(),
        record.status.as_str(),
        record.serial_number,
        record.common_name,
        common_name_normalized,
        record.subject,
        &record.subject_alternative_names,
        record.fingerprint_sha256,
        record.spki_sha256,
        record.key_algorithm.as_str(),
        record.not_before,
        record.not_after,
        record.context.owner_user_id.map(Uuid::from),
        record.has_private_key,
        record
            .context
            .environment
            .map(DeploymentEnvironment::as_str),
        &record.context.tags,
        custom_fields,
        record.revision,
        occurred_at,
        audit.id.as_uuid(),
        audit.event_timestamp,
        audit.organization_id.as_uuid(),
        audit.event_code,
        audit.event_category,
        audit.severity.as_str(),
        audit.result.as_str(),
        audit.actor_type,
        audit.actor_id,
        audit.user_id,
        audit.resource_type,
        audit.resource_id,
        audit.request_id,
        audit.session_id,
        audit.ip_address,
        audit.user_agent,
        audit.reason,
        audit.details,
        digest.as_slice(),
    )
    .fetch_one(pool.unscoped())
    .await
    .map_err(|error| pool.commit_error("certificate_metadata::apply", error))?;
    Ok(if applied == 0 {
        Applied::AlreadyApplied
    } else {
        Applied::Applied
    })
}

/// The form that searches compare: lower case (names of hosts compare without case).
fn normalize(name: &str) -> String {
    name.to_lowercase()
}

struct Row {
    organization_id: Uuid,
    certificate_id: Uuid,
    certificate_request_id: Option<Uuid>,
    issuer_id: Option<Uuid>,
    certificate_type: String,
    status: String,
    serial_number: String,
    subject: String,
    common_name: Option<String>,
    subject_alternative_names: Vec<String>,
    fingerprint_sha256: Vec<u8>,
    spki_sha256: Vec<u8>,
    key_algorithm: String,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    has_private_key: bool,
    owner_user_id: Option<Uuid>,
    environment: Option<String>,
    tags: Vec<String>,
    custom_fields: serde_json::Value,
    revision: i64,
    created_at: DateTime<Utc>,
}

/// One certificate of the organization in scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    certificate_id: CertificateId,
) -> sqlx::Result<Option<Certificate>> {
    let row = sqlx::query_as!(
        Row,
        "-- certificate_metadata::find
        SELECT organization_id, certificate_id, certificate_request_id, issuer_id,
            certificate_type, status, serial_number, subject, common_name,
            subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm, not_before,
            not_after, has_private_key, owner_user_id, environment, tags, custom_fields, revision,
            created_at
        FROM certificate_metadata
        WHERE organization_id = $1 AND certificate_id = $2 AND deleted_at IS NULL",
        organization_id.as_uuid(),
        certificate_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(certificate).transpose()
}

/// Certificates of the organization in scope, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Certificate>> {
    let rows = sqlx::query_as!(
        Row,
        "-- certificate_metadata::list
        SELECT organization_id, certificate_id, certificate_request_id, issuer_id,
            certificate_type, status, serial_number, subject, common_name,
            subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm, not_before,
            not_after, has_private_key, owner_user_id, environment, tags, custom_fields, revision,
            created_at
        FROM certificate_metadata
        WHERE organization_id = $1 AND deleted_at IS NULL AND certificate_id < $2
        ORDER BY certificate_id DESC
        LIMIT $3",
        organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(certificate).collect()
}

/// What the reconciler compares on this side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectedState {
    pub(crate) certificate_id: CertificateId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) revision: i64,
    pub(crate) status: String,
    pub(crate) serial_number: String,
    pub(crate) fingerprint_sha256: Vec<u8>,
    pub(crate) spki_sha256: Vec<u8>,
    pub(crate) issuer_id: Option<Uuid>,
    pub(crate) subject: String,
    pub(crate) subject_alternative_names: Vec<String>,
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) not_after: DateTime<Utc>,
    pub(crate) has_private_key: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) audited: bool,
}

/// Projections of every organization in order of their certificates (system scope).
pub(crate) async fn list_states(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<ProjectedState>> {
    sqlx::query_as!(
        ProjectedState,
        r#"-- certificate_metadata::list_states
        SELECT m.certificate_id, m.organization_id, m.revision, m.status, m.serial_number,
            m.fingerprint_sha256, m.spki_sha256, m.issuer_id, m.subject,
            m.subject_alternative_names, m.not_before, m.not_after, m.has_private_key,
            m.created_at,
            EXISTS (
                SELECT 1 FROM audit_log a
                WHERE a.organization_id = m.organization_id AND a.resource_type = 'certificate'
                    AND a.resource_id = m.certificate_id AND a.event_code = 'certificate.issued'
            ) AS "audited!"
        FROM certificate_metadata m
        WHERE m.certificate_id > $1
        ORDER BY m.certificate_id
        LIMIT $2"#,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await
}

fn certificate(row: Row) -> sqlx::Result<Certificate> {
    let custom_fields: BTreeMap<String, String> =
        serde_json::from_value(row.custom_fields).unwrap_or_default();
    Ok(Certificate {
        certificate_id: CertificateId::from_uuid(row.certificate_id),
        organization_id: OrganizationId::from_uuid(row.organization_id),
        certificate_request_id: row
            .certificate_request_id
            .map(CertificateRequestId::from_uuid),
        issuer_id: row.issuer_id.map(IssuerId::from_uuid),
        certificate_type: parse::<CertificateType>(&row.certificate_type)?,
        status: parse::<CertificateStatus>(&row.status)?,
        serial_number: row.serial_number,
        subject: row.subject,
        common_name: row.common_name,
        subject_alternative_names: row.subject_alternative_names,
        fingerprint_sha256: row.fingerprint_sha256,
        spki_sha256: row.spki_sha256,
        key_algorithm: row.key_algorithm,
        not_before: row.not_before,
        not_after: row.not_after,
        has_private_key: row.has_private_key,
        owner_user_id: row.owner_user_id.map(UserId::from_uuid),
        environment: row
            .environment
            .as_deref()
            .map(parse::<DeploymentEnvironment>)
            .transpose()?,
        tags: row.tags,
        custom_fields,
        revision: row.revision,
        created_at: row.created_at,
    })
}

/// Reads a stored value of a closed set.
fn parse<T>(text: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
