//! `certificate_requests`: one, and pages of them. Written by [`super::issuance`].

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::ids::{CertificateId, CertificateRequestId, OrganizationId, UserId};
use clm_secure_api::reply::CertificateRequest;
use uuid::Uuid;

use super::{SecureStore, word};

/// How a key came to the platform, as stored.
pub(crate) const SOURCE_CSR: &str = "csr";
/// The platform made the key.
pub(crate) const SOURCE_SERVER_KEY: &str = "server_key";

struct RequestRow {
    id: Uuid,
    organization_id: Uuid,
    status: String,
    request_source: String,
    issuer_id: Uuid,
    certificate_id: Option<Uuid>,
    subject: String,
    subject_alternative_names: Vec<String>,
    key_algorithm: String,
    requester_user_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    fulfilled_at: Option<DateTime<Utc>>,
}

impl RequestRow {
    fn into_request(self) -> Result<CertificateRequest, DatabaseError> {
        Ok(CertificateRequest {
            certificate_request_id: self.id.into(),
            organization_id: self.organization_id.into(),
            status: word("certificate_requests.status", &self.status)?,
            issuer_id: self.issuer_id.into(),
            certificate_id: self.certificate_id.map(CertificateId::from),
            subject: self.subject,
            subject_alternative_names: self.subject_alternative_names,
            key_algorithm: word("certificate_requests.key_algorithm", &self.key_algorithm)?,
            key_generated: self.request_source == SOURCE_SERVER_KEY,
            requester_user_id: self.requester_user_id.map(UserId::from),
            created_at: self.created_at,
            fulfilled_at: self.fulfilled_at,
        })
    }
}

impl SecureStore {
    /// A live request of the organization.
    pub(crate) async fn find_certificate_request(
        &self,
        organization_id: OrganizationId,
        id: CertificateRequestId,
    ) -> Result<Option<CertificateRequest>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find certificate request", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        RequestRow,
                        r#"-- certificate_requests::find
                        SELECT r.id, r.organization_id, r.status, r.request_source, r.issuer_id,
                            c.id AS "certificate_id?", r.subject, r.subject_alternative_names,
                            r.key_algorithm, r.requester_user_id, r.created_at, r.fulfilled_at
                        FROM certificate_requests r
                        LEFT JOIN certificates c
                          ON c.organization_id = r.organization_id
                          AND c.certificate_request_id = r.id
                        WHERE r.organization_id = $1 AND r.id = $2 AND r.deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(RequestRow::into_request).transpose()
    }

    /// Live requests of the organization, newest first.
    pub(crate) async fn list_certificate_requests(
        &self,
        organization_id: OrganizationId,
        after: Option<CertificateRequestId>,
        limit: i64,
    ) -> Result<Vec<CertificateRequest>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let rows = self
            .pool
            .transact("list certificate requests", scope, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        RequestRow,
                        r#"-- certificate_requests::list
                        SELECT r.id, r.organization_id, r.status, r.request_source, r.issuer_id,
                            c.id AS "certificate_id?", r.subject, r.subject_alternative_names,
                            r.key_algorithm, r.requester_user_id, r.created_at, r.fulfilled_at
                        FROM certificate_requests r
                        LEFT JOIN certificates c
                          ON c.organization_id = r.organization_id
                          AND c.certificate_request_id = r.id
                        WHERE r.organization_id = $1 AND r.deleted_at IS NULL AND r.id < $2
                        ORDER BY r.id DESC LIMIT $3"#,
                        organization_id.as_uuid(),
                        after.map_or(Uuid::max(), CertificateRequestId::as_uuid),
                        limit,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter().map(RequestRow::into_request).collect()
    }
}
