//! `certificates`: one with all that its record holds, the replay of an issuance, and the states
//! for the reconciler.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::ids::{CertificateId, CertificateRequestId, IssuerId, OrganizationId};
use clm_secure_api::event::CertificateRecord;
use clm_secure_api::reply::CertificateState;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{RECONCILER, SecureStore, json, word};

/// How far the timestamp of an audit row may be from that of its certificate. They are equal when
/// both were written here; the bound only keeps a look-up within one or two partitions.
const AUDIT_TIME_MARGIN: TimeDelta = TimeDelta::days(1);

/// A certificate as stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredCertificate {
    pub(crate) record: CertificateRecord,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) created_at: DateTime<Utc>,
}

/// The columns of a [`CertificateRecord`].
pub(super) struct CertificateRow {
    pub(super) id: Uuid,
    pub(super) organization_id: Uuid,
    pub(super) certificate_request_id: Option<Uuid>,
    pub(super) issuer_id: Option<Uuid>,
    pub(super) revision: i64,
    pub(super) certificate_type: String,
    pub(super) status: String,
    pub(super) serial_number: Vec<u8>,
    pub(super) subject: String,
    pub(super) common_name: Option<String>,
    pub(super) subject_alternative_names: Vec<String>,
    pub(super) fingerprint_sha256: Vec<u8>,
    pub(super) spki_sha256: Vec<u8>,
    pub(super) key_algorithm: String,
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
    pub(super) private_key_id: Option<Uuid>,
    pub(super) issuance_context: serde_json::Value,
    pub(super) certificate_der: Vec<u8>,
    pub(super) created_at: DateTime<Utc>,
}

impl CertificateRow {
    pub(super) fn into_stored(self) -> Result<StoredCertificate, DatabaseError> {
        // The certificate of a CA has no context of people: its column is an empty object.
        let context = match self.issuance_context {
            serde_json::Value::Object(fields) if fields.is_empty() => Default::default(),
            value => json("certificates.issuance_context", value)?,
        };
        let record = CertificateRecord {
            certificate_id: self.id.into(),
            organization_id: self.organization_id.into(),
            certificate_request_id: self.certificate_request_id.map(CertificateRequestId::from),
            issuer_id: self.issuer_id.map(IssuerId::from),
            revision: self.revision,
            certificate_type: word("certificates.certificate_type", &self.certificate_type)?,
            status: word("certificates.status", &self.status)?,
            serial_number: hex::encode(&self.serial_number),
            subject: self.subject,
            common_name: self.common_name,
            subject_alternative_names: self.subject_alternative_names,
            fingerprint_sha256: self.fingerprint_sha256,
            spki_sha256: self.spki_sha256,
            key_algorithm: word("certificates.key_algorithm", &self.key_algorithm)?,
            not_before: self.not_before,
            not_after: self.not_after,
            has_private_key: self.private_key_id.is_some(),
            context,
        };
        Ok(StoredCertificate {
            record,
            certificate_der: self.certificate_der,
            created_at: self.created_at,
        })
    }
}

impl SecureStore {
    /// A live certificate of the organization.
    pub(crate) async fn find_certificate(
        &self,
        organization_id: OrganizationId,
        id: CertificateId,
    ) -> Result<Option<StoredCertificate>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find certificate", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        CertificateRow,
                        r#"-- certificates::find
                        SELECT id, organization_id, certificate_request_id, issuer_id, revision,
                            certificate_type, status, serial_number, subject, common_name,
                            subject_alternative_names, fingerprint_sha256, spki_sha256,
                            key_algorithm, not_before, not_after, private_key_id, issuance_context,
                            certificate_der, created_at
                        FROM certificates
                        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(CertificateRow::into_stored).transpose()
    }

    /// The states of the live certificates of all organizations, in order of their ids.
    pub(crate) async fn list_certificate_states(
        &self,
        after: Option<CertificateId>,
        limit: i64,
    ) -> Result<Vec<CertificateState>, DatabaseError> {
        self.pool
            .transact("list certificate states", RECONCILER, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        CertificateRow,
                        r#"-- certificates::list_states
                        SELECT id, organization_id, certificate_request_id, issuer_id, revision,
                            certificate_type, status, serial_number, subject, common_name,
                            subject_alternative_names, fingerprint_sha256, spki_sha256,
                            key_algorithm, not_before, not_after, private_key_id, issuance_context,
                            ''::bytea AS "certificate_der!", created_at
                        FROM certificates
                        WHERE deleted_at IS NULL AND id > $1
                        ORDER BY id LIMIT $2"#,
                        after.map_or(Uuid::nil(), CertificateId::as_uuid),
                        limit,
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    let page = Page::of(&rows);
                    let audited = page.audited(connection).await?;
                    let issuers = page.certificates_of_issuers(connection).await?;
                    rows.into_iter()
                        .map(|row| {
                            let id = row.id;
                            let stored = row.into_stored().map_err(Abort::Caller)?;
                            Ok::<_, Abort<DatabaseError>>(CertificateState {
                                record: stored.record,
                                audited: audited.contains(&id),
                                created_at: stored.created_at,
                                is_issuer: issuers.contains(&id),
                            })
                        })
                        .collect()
                })
            })
            .await
    }
}

/// The identities of one page of certificates, for set-based look-ups beside them.
struct Page {
    organization_ids: Vec<Uuid>,
    certificate_ids: Vec<Uuid>,
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
}

impl Page {
    fn of(rows: &[CertificateRow]) -> Self {
        let times = || rows.iter().map(|row| row.created_at);
        Self {
            organization_ids: rows.iter().map(|row| row.organization_id).collect(),
            certificate_ids: rows.iter().map(|row| row.id).collect(),
            earliest: times().min().unwrap_or_default() - AUDIT_TIME_MARGIN,
            latest: times().max().unwrap_or_default() + AUDIT_TIME_MARGIN,
        }
    }

    /// Those whose issuance the audit log holds.
    async fn audited(&self, connection: &mut PgConnection) -> Result<HashSet<Uuid>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"-- certificates::list_audited
            SELECT page.certificate_id AS "certificate_id!"
            FROM unnest($1::uuid[], $2::uuid[]) AS page (organization_id, certificate_id)
            CROSS JOIN LATERAL (
                SELECT l.id FROM secure_audit_log l
                WHERE l.organization_id = page.organization_id AND l.resource_type = 'certificate'
                  AND l.resource_id = page.certificate_id AND l.event_timestamp BETWEEN $3 AND $4
                  AND l.event_code = 'certificate.issued' AND l.result = 'success'
                LIMIT 1
            ) AS event"#,
            &self.organization_ids,
            &self.certificate_ids,
            self.earliest,
            self.latest,
        )
        .fetch_all(connection)
        .await?;
        Ok(found.into_iter().collect())
    }

    /// Those that are certificates of issuers.
    async fn certificates_of_issuers(
        &self,
        connection: &mut PgConnection,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"-- certificates::list_of_issuers
            SELECT page.certificate_id AS "certificate_id!"
            FROM unnest($1::uuid[], $2::uuid[]) AS page (organization_id, certificate_id)
            JOIN issuers i ON i.organization_id = page.organization_id
                AND i.certificate_id = page.certificate_id"#,
            &self.organization_ids,
            &self.certificate_ids,
        )
        .fetch_all(connection)
        .await?;
        Ok(found.into_iter().collect())
    }
}
