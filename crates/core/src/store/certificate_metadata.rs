//! Rows of `certificate_metadata`: the projection of certificates, and what people add.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use clm_database::group_commit::{BatchWriter, array_literal, column};
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

/// What an apply needs.
#[derive(Debug)]
pub(crate) struct Projection {
    /// The certificate as it is now.
    pub(crate) record: CertificateRecord,
    /// When that came about: a new row counts as made then, as the first answer says.
    pub(crate) occurred_at: DateTime<Utc>,
    /// The audit event, written if the record is news.
    pub(crate) audit: AuditRow,
}

/// Brings projections to their records in batches, together with their audit events. A revision that
/// is not higher changes nothing and writes no event.
#[derive(Debug)]
pub(crate) struct ProjectionWriter;

impl BatchWriter for ProjectionWriter {
    type Item = Box<Projection>;
    type Key = CertificateId;
    type Outcome = Applied;

    const NAME: &'static str = "certificate_metadata::apply";

    fn key(item: &Self::Item) -> CertificateId {
        item.record.certificate_id
    }

    fn bytes(item: &Self::Item) -> usize {
        let record = &item.record;
        let names: usize = record
            .subject_alternative_names
            .iter()
            .map(String::len)
            .sum();
        let fields = &record.context.custom_fields;
        let fields: usize = fields
            .iter()
            .map(|(name, text)| name.len() + text.len())
            .sum();
        record.subject.len() + names + fields
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        organization_id: OrganizationId,
        items: &[&Self::Item],
    ) -> sqlx::Result<Vec<Applied>> {
        let mut ordered: Vec<&Projection> = items.iter().map(|item| item.as_ref()).collect();
        // Two batches that meet the same rows take them in the same order, and no deadlock arises.
        ordered.sort_by_key(|new| new.record.certificate_id);
        let applied = apply(connection, organization_id, &ordered).await?;
        let applied: HashSet<Uuid> = applied.into_iter().collect();
        let outcome = |item: &&Self::Item| {
            if applied.contains(&item.record.certificate_id.as_uuid()) {
                Applied::Applied
            } else {
                Applied::AlreadyApplied
            }
        };
        Ok(items.iter().map(outcome).collect())
    }
}

/// One statement that carries its scope and commits by itself. Returns the ids of the certificates
/// whose rows are new or rose to the revision.
#[expect(clippy::too_many_lines, reason = "one statement with its parameters")]
async fn apply(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    news: &[&Projection],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"-- certificate_metadata::apply
        WITH scope AS MATERIALIZED (
            SELECT set_config('app.current_org_id', ($1::uuid)::text, true)
        ), new AS MATERIALIZED (
            SELECT certificate_id, certificate_request_id, issuer_id, certificate_type, status,
                serial_number, common_name, common_name_normalized, subject,
                names::text[] AS names, fingerprint_sha256, spki_sha256, key_algorithm, not_before,
                not_after, owner_user_id, has_private_key, environment, tags::text[] AS tags,
                custom_fields::jsonb AS custom_fields, revision, occurred_at, audit_id,
                event_timestamp, event_code, event_category, severity, result, actor_type, actor_id,
                user_id, resource_type, resource_id, request_id, session_id, ip_address, user_agent,
                reason, details::jsonb AS details, canonical_sha256
            FROM scope, unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[],
                $13::bytea[], $14::text[], $15::timestamptz[], $16::timestamptz[], $17::uuid[],
                $18::boolean[], $19::text[], $20::text[], $21::text[], $22::bigint[],
                $23::timestamptz[], $24::uuid[], $25::timestamptz[], $26::text[], $27::text[],
                $28::text[], $29::text[], $30::text[], $31::uuid[], $32::uuid[], $33::text[],
                $34::uuid[], $35::uuid[], $36::uuid[], $37::text[], $38::text[], $39::text[],
                $40::text[], $41::bytea[])
            AS new (certificate_id, certificate_request_id, issuer_id, certificate_type, status,
                serial_number, common_name, common_name_normalized, subject, names,
                fingerprint_sha256, spki_sha256, key_algorithm, not_before, not_after,
                owner_user_id, has_private_key, environment, tags, custom_fields, revision,
                occurred_at, audit_id, event_timestamp, event_code, event_category, severity,
                result, actor_type, actor_id, user_id, resource_type, resource_id, request_id,
                session_id, ip_address, user_agent, reason, details, canonical_sha256)
        ), applied AS (
            INSERT INTO certificate_metadata (
                id, organization_id, certificate_id, certificate_request_id, issuer_id,
                certificate_type, status, serial_number, common_name, common_name_normalized,
                subject, subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm,
                not_before, not_after, owner_user_id, has_private_key, environment, tags,
                custom_fields, revision, created_at, updated_at)
            SELECT certificate_id, $1, certificate_id, certificate_request_id, issuer_id,
                certificate_type, status, serial_number, common_name, common_name_normalized,
                subject, names, fingerprint_sha256, spki_sha256, key_algorithm, not_before,
                not_after, owner_user_id, has_private_key, environment, tags, custom_fields,
                revision, occurred_at, occurred_at
            FROM new
            ON CONFLICT (organization_id, certificate_id) DO UPDATE
            SET status = excluded.status, has_private_key = excluded.has_private_key,
                revision = excluded.revision
            WHERE certificate_metadata.revision < excluded.revision
            RETURNING certificate_id
        ), recorded AS (
            INSERT INTO audit_log (
                id, event_timestamp, organization_id, event_code, event_category, severity, result,
                actor_type, actor_id, user_id, resource_type, resource_id, request_id, session_id,
                ip_address, user_agent, reason, details, canonical_sha256)
            SELECT audit_id, event_timestamp, $1, event_code, event_category, severity, result,
                actor_type, actor_id, user_id, resource_type, resource_id, request_id, session_id,
                ip_address, user_agent, reason, details, canonical_sha256
            FROM applied JOIN new USING (certificate_id)
        )
        SELECT certificate_id FROM applied"#,
        organization_id.as_uuid(),
        &column(news, |new| new.record.certificate_id.as_uuid()) as _,
        &column(news, |new| new
            .record
            .certificate_request_id
            .map(Uuid::from)) as _,
        &column(news, |new| new.record.issuer_id.map(Uuid::from)) as _,
        &column(news, |new| new.record.certificate_type.as_str()) as _,
        &column(news, |new| new.record.status.as_str()) as _,
        &column(news, |new| new.record.serial_number.as_str()) as _,
        &column(news, |new| new.record.common_name.as_deref()) as _,
        &column(news, |new| new.record.common_name.as_deref().map(normalize)) as _,
        &column(news, |new| new.record.subject.as_str()) as _,
        &column(news, |new| array_literal(
            &new.record.subject_alternative_names
        )) as _,
        &column(news, |new| new.record.fingerprint_sha256.as_slice()) as _,
        &column(news, |new| new.record.spki_sha256.as_slice()) as _,
        &column(news, |new| new.record.key_algorithm.as_str()) as _,
        &column(news, |new| new.record.not_before) as _,
        &column(news, |new| new.record.not_after) as _,
        &column(news, |new| new.record.context.owner_user_id.map(Uuid::from)) as _,
        &column(news, |new| new.record.has_private_key) as _,
        &column(news, |new| new
            .record
            .context
            .environment
            .map(DeploymentEnvironment::as_str)) as _,
        &column(news, |new| array_literal(&new.record.context.tags)) as _,
        &column(news, |new| custom_fields(&new.record)) as _,
        &column(news, |new| new.record.revision) as _,
        &column(news, |new| new.occurred_at) as _,
        &column(news, |new| new.audit.id.as_uuid()) as _,
        &column(news, |new| new.audit.event_timestamp) as _,
        &column(news, |new| new.audit.event_code.as_str()) as _,
        &column(news, |new| new.audit.event_category.as_str()) as _,
        &column(news, |new| new.audit.severity.as_str()) as _,
        &column(news, |new| new.audit.result.as_str()) as _,
        &column(news, |new| new.audit.actor_type.as_str()) as _,
        &column(news, |new| new.audit.actor_id) as _,
        &column(news, |new| new.audit.user_id) as _,
        &column(news, |new| new.audit.resource_type.as_str()) as _,
        &column(news, |new| new.audit.resource_id) as _,
        &column(news, |new| new.audit.request_id) as _,
        &column(news, |new| new.audit.session_id) as _,
        &column(news, |new| new.audit.ip_address.as_deref()) as _,
        &column(news, |new| new.audit.user_agent.as_deref()) as _,
        &column(news, |new| new.audit.reason.as_deref()) as _,
        &column(news, |new| new.audit.details.to_string()) as _,
        &column(news, |new| new.audit.canonical_sha256().to_vec()) as _,
    )
    .fetch_all(connection)
    .await
}

fn custom_fields(record: &CertificateRecord) -> String {
    serde_json::to_value(&record.context.custom_fields)
        .unwrap_or_default()
        .to_string()
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
