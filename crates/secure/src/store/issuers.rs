//! `issuers` and `issuer_organizations`: certificate authorities, what is above them, and who may
//! use them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::audit::AuditRow;
use clm_domain::ids::{CertificateId, IssuerId, OrganizationId, PrivateKeyId, UserId};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::states::{CertificateType, IssuerKind, IssuerStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::private_keys::{self, NewPrivateKey};
use super::step_up_proofs::{self, ProofUse};
use super::{CERTIFICATE_AUTHORITY_CREATION, ISSUERS, SecureStore, audit, json, word};

/// An issuer with its certificate.
#[derive(Clone, Debug)]
pub(crate) struct StoredIssuer {
    pub(crate) id: IssuerId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) name: String,
    pub(crate) kind: IssuerKind,
    pub(crate) parent_issuer_id: Option<IssuerId>,
    pub(crate) status: IssuerStatus,
    pub(crate) subject: String,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) subject_key_identifier: Vec<u8>,
    pub(crate) key_algorithm: KeyAlgorithm,
    pub(crate) signature_algorithm: SignatureAlgorithm,
    pub(crate) limits: IssuerLimits,
    pub(crate) strict_mode: bool,
    pub(crate) revision: i64,
    pub(crate) private_key_id: PrivateKeyId,
    pub(crate) certificate_id: CertificateId,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) not_after: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    /// What is above, nearest first.
    pub(crate) chain: Vec<ChainLink>,
}

/// One certificate authority of a chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainLink {
    pub(crate) name: String,
    pub(crate) is_root: bool,
    /// Whether it is there and signs: neither suspended nor retired nor deleted.
    pub(crate) is_active: bool,
    pub(crate) not_after: DateTime<Utc>,
    pub(crate) limits: IssuerLimits,
    pub(crate) certificate_der: Vec<u8>,
}

/// Everything that makes a certificate authority, written in one transaction.
pub(crate) struct NewIssuer {
    pub(crate) id: IssuerId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) name: String,
    pub(crate) kind: IssuerKind,
    pub(crate) parent_issuer_id: Option<IssuerId>,
    pub(crate) subject: String,
    pub(crate) common_name: Option<String>,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) subject_key_identifier: Vec<u8>,
    pub(crate) key_algorithm: KeyAlgorithm,
    pub(crate) signature_algorithm: SignatureAlgorithm,
    pub(crate) limits: serde_json::Value,
    pub(crate) private_key: NewPrivateKey,
    pub(crate) certificate: NewIssuerCertificate,
    pub(crate) organization_ids: Vec<OrganizationId>,
    pub(crate) created_by_user_id: Option<UserId>,
    pub(crate) created_at: DateTime<Utc>,
    /// Absent for those who need none.
    pub(crate) proof: Option<ProofUse>,
    pub(crate) audit: Vec<AuditRow>,
}

/// The certificate of a new certificate authority.
pub(crate) struct NewIssuerCertificate {
    pub(crate) id: CertificateId,
    pub(crate) certificate_type: CertificateType,
    pub(crate) signed_by: IssuerId,
    pub(crate) serial_number: Vec<u8>,
    pub(crate) der: Vec<u8>,
    pub(crate) fingerprint_sha256: [u8; 32],
    pub(crate) tbs_sha256: [u8; 32],
    pub(crate) signature_algorithm: SignatureAlgorithm,
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) not_after: DateTime<Utc>,
}

struct IssuerRow {
    id: Uuid,
    organization_id: Uuid,
    name: String,
    kind: String,
    parent_issuer_id: Option<Uuid>,
    status: String,
    subject: String,
    subject_der: Vec<u8>,
    subject_key_identifier: Vec<u8>,
    key_algorithm: String,
    signature_algorithm: String,
    limits: serde_json::Value,
    strict_mode: bool,
    revision: i64,
    private_key_id: Uuid,
    certificate_id: Uuid,
    certificate_der: Vec<u8>,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

impl IssuerRow {
    fn into_stored(self, chain: Vec<ChainLink>) -> Result<StoredIssuer, DatabaseError> {
        Ok(StoredIssuer {
            id: self.id.into(),
            organization_id: self.organization_id.into(),
            name: self.name,
            kind: word("issuers.kind", &self.kind)?,
            parent_issuer_id: self.parent_issuer_id.map(IssuerId::from),
            status: word("issuers.status", &self.status)?,
            subject: self.subject,
            subject_der: self.subject_der,
            subject_key_identifier: self.subject_key_identifier,
            key_algorithm: word("issuers.key_algorithm", &self.key_algorithm)?,
            signature_algorithm: word("issuers.signature_algorithm", &self.signature_algorithm)?,
            limits: json("issuers.limits", self.limits)?,
            strict_mode: self.strict_mode,
            revision: self.revision,
            private_key_id: self.private_key_id.into(),
            certificate_id: self.certificate_id.into(),
            certificate_der: self.certificate_der,
            not_before: self.not_before,
            not_after: self.not_after,
            created_at: self.created_at,
            chain,
        })
    }
}

impl SecureStore {
    /// An issuer that the organization owns or may use.
    pub(crate) async fn find_usable_issuer(
        &self,
        organization_id: OrganizationId,
        id: IssuerId,
    ) -> Result<Option<StoredIssuer>, DatabaseError> {
        let found = self
            .pool
            .transact("find issuer", ISSUERS, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        IssuerRow,
                        r#"-- issuers::find_usable
                        SELECT i.id, i.organization_id, i.name, i.kind, i.parent_issuer_id,
                            i.status, c.subject, i.subject_der, i.subject_key_identifier,
                            i.key_algorithm, i.signature_algorithm, i.limits, i.strict_mode,
                            i.revision, i.private_key_id, c.id AS certificate_id, c.certificate_der,
                            c.not_before, c.not_after, i.created_at
                        FROM issuers i
                        JOIN certificates c
                          ON c.organization_id = i.organization_id AND c.id = i.certificate_id
                        WHERE i.id = $2 AND i.deleted_at IS NULL
                          AND (i.organization_id = $1 OR EXISTS (
                              SELECT FROM issuer_organizations g
                              WHERE g.issuer_id = i.id AND g.organization_id = $1
                                AND g.revoked_at IS NULL))"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    with_chains(connection, rows).await
                })
            })
            .await?;
        Ok(found.into_iter().next())
    }

    /// An issuer of the organization by its name.
    pub(crate) async fn find_issuer_by_name(
        &self,
        organization_id: OrganizationId,
        name: &str,
    ) -> Result<Option<StoredIssuer>, DatabaseError> {
        let name: Arc<str> = Arc::from(name);
        let found = self
            .pool
            .transact("find issuer by name", ISSUERS, |connection| {
                let name = Arc::clone(&name);
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        IssuerRow,
                        r#"-- issuers::find_by_name
                        SELECT i.id, i.organization_id, i.name, i.kind, i.parent_issuer_id,
                            i.status, c.subject, i.subject_der, i.subject_key_identifier,
                            i.key_algorithm, i.signature_algorithm, i.limits, i.strict_mode,
                            i.revision, i.private_key_id, c.id AS certificate_id, c.certificate_der,
                            c.not_before, c.not_after, i.created_at
                        FROM issuers i
                        JOIN certificates c
                          ON c.organization_id = i.organization_id AND c.id = i.certificate_id
                        WHERE i.organization_id = $1 AND i.name = $2 AND i.deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        &*name,
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    with_chains(connection, rows).await
                })
            })
            .await?;
        Ok(found.into_iter().next())
    }

    /// The issuers that the organization owns or may use, in order of their ids.
    pub(crate) async fn list_usable_issuers(
        &self,
        organization_id: OrganizationId,
        after: Option<IssuerId>,
        limit: i64,
    ) -> Result<Vec<StoredIssuer>, DatabaseError> {
        self.pool
            .transact("list issuers", ISSUERS, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        IssuerRow,
                        r#"-- issuers::list_usable
                        SELECT i.id, i.organization_id, i.name, i.kind, i.parent_issuer_id,
                            i.status, c.subject, i.subject_der, i.subject_key_identifier,
                            i.key_algorithm, i.signature_algorithm, i.limits, i.strict_mode,
                            i.revision, i.private_key_id, c.id AS certificate_id, c.certificate_der,
                            c.not_before, c.not_after, i.created_at
                        FROM issuers i
                        JOIN certificates c
                          ON c.organization_id = i.organization_id AND c.id = i.certificate_id
                        WHERE i.deleted_at IS NULL AND i.id > $2
                          AND (i.organization_id = $1 OR EXISTS (
                              SELECT FROM issuer_organizations g
                              WHERE g.issuer_id = i.id AND g.organization_id = $1
                                AND g.revoked_at IS NULL))
                        ORDER BY i.id LIMIT $3"#,
                        organization_id.as_uuid(),
                        after.map_or(Uuid::nil(), IssuerId::as_uuid),
                        limit,
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    with_chains(connection, rows).await
                })
            })
            .await
    }

    /// The certificates that prove what `id` signed, nearest first: its own, then those above. The
    /// issuer need not be usable any more: what it signed stays verifiable.
    pub(crate) async fn list_issuer_chain(
        &self,
        id: IssuerId,
    ) -> Result<Vec<ChainLink>, DatabaseError> {
        self.pool
            .transact("list issuer chain", ISSUERS, |connection| {
                Box::pin(async move {
                    let links = list_chains(connection, &[id.as_uuid()]).await?;
                    let links = links.into_iter().map(|(_, _, link)| link).collect();
                    Ok::<_, Abort<DatabaseError>>(links)
                })
            })
            .await
    }

    /// Writes a certificate authority; false, and nothing, when the proof is not good for it (any more). A
    /// name that is taken is [`DatabaseError::Duplicate`].
    pub(crate) async fn insert_issuer(&self, new: Arc<NewIssuer>) -> Result<bool, DatabaseError> {
        self.pool
            .transact(
                "create certificate authority",
                CERTIFICATE_AUTHORITY_CREATION,
                |connection| {
                    let new = Arc::clone(&new);
                    Box::pin(async move {
                        if let Some(proof) = &new.proof
                            && !step_up_proofs::use_up(connection, proof, new.created_at).await?
                        {
                            return Ok(false);
                        }
                        let owner = (new.organization_id, new.created_by_user_id);
                        private_keys::insert(connection, &new.private_key, owner, new.created_at)
                            .await?;
                        // Before its certificate, which may refer to it; the reference back is
                        // checked at the end.
                        insert_issuer_row(connection, &new).await?;
                        insert_certificate(connection, &new).await?;
                        insert_organizations(connection, &new).await?;
                        for row in &new.audit {
                            audit::insert(connection, row).await?;
                        }
                        Ok::<_, Abort<DatabaseError>>(true)
                    })
                },
            )
            .await
    }
}

/// Adds to each issuer what is above it.
async fn with_chains(
    connection: &mut PgConnection,
    rows: Vec<IssuerRow>,
) -> Result<Vec<StoredIssuer>, Abort<DatabaseError>> {
    let nested = rows.iter().filter(|row| row.parent_issuer_id.is_some());
    let ids: Vec<Uuid> = nested.map(|row| row.id).collect();
    let mut chains: HashMap<Uuid, Vec<ChainLink>> = HashMap::new();
    if !ids.is_empty() {
        for (below_id, depth, link) in list_chains(connection, &ids).await? {
            if depth > 0 {
                chains.entry(below_id).or_default().push(link);
            }
        }
    }
    rows.into_iter()
        .map(|row| {
            let chain = chains.remove(&row.id).unwrap_or_default();
            row.into_stored(chain).map_err(Abort::Caller)
        })
        .collect()
}

/// Each issuer (depth 0) and what is above it, nearest first. Bounded: nobody nests certificate
/// authorities sixteen deep.
pub(super) async fn list_chains(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, i32, ChainLink)>, Abort<DatabaseError>> {
    let links = sqlx::query!(
        r#"-- issuers::list_chains
        WITH RECURSIVE chain AS (
            SELECT i.id AS below_id, i.id AS issuer_id, 0 AS depth
            FROM issuers i WHERE i.id = ANY($1)
            UNION ALL
            SELECT chain.below_id, i.parent_issuer_id, chain.depth + 1
            FROM chain JOIN issuers i ON i.id = chain.issuer_id
            WHERE i.parent_issuer_id IS NOT NULL AND chain.depth < 16
        )
        SELECT chain.below_id AS "below_id!", chain.depth AS "depth!", i.name, i.kind, i.limits,
            (i.status = 'active' AND i.deleted_at IS NULL) AS "is_active!", c.not_after,
            c.certificate_der
        FROM chain
        JOIN issuers i ON i.id = chain.issuer_id
        JOIN certificates c ON c.organization_id = i.organization_id AND c.id = i.certificate_id
        ORDER BY chain.below_id, chain.depth"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    let links = links.into_iter().map(|link| {
        let chain_link = ChainLink {
            name: link.name,
            is_root: link.kind == IssuerKind::Root.as_str(),
            is_active: link.is_active,
            not_after: link.not_after,
            limits: json("issuers.limits", link.limits).map_err(Abort::Caller)?,
            certificate_der: link.certificate_der,
        };
        Ok((link.below_id, link.depth, chain_link))
    });
    links.collect()
}

async fn insert_issuer_row(
    connection: &mut PgConnection,
    new: &NewIssuer,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- issuers::insert
        INSERT INTO issuers (id, organization_id, name, kind, parent_issuer_id, certificate_id,
            private_key_id, subject_der, subject_key_identifier, key_algorithm, signature_algorithm,
            status, limits, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'active', $12, $13, $13)"#,
        new.id.as_uuid(),
        new.organization_id.as_uuid(),
        new.name,
        new.kind.as_str(),
        new.parent_issuer_id.map(IssuerId::as_uuid),
        new.certificate.id.as_uuid(),
        new.private_key.id.as_uuid(),
        new.subject_der,
        new.subject_key_identifier,
        new.key_algorithm.as_str(),
        new.signature_algorithm.as_str(),
        new.limits,
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_certificate(
    connection: &mut PgConnection,
    new: &NewIssuer,
) -> Result<(), sqlx::Error> {
    let certificate = &new.certificate;
    sqlx::query!(
        r#"-- issuers::insert_certificate
        INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id,
            private_key_id, serial_number, subject, common_name, certificate_der,
            fingerprint_sha256, spki_sha256, tbs_sha256, key_algorithm, signature_algorithm,
            not_before, not_after, owner_user_id, created_at, updated_at)
        VALUES ($1, $2, $3, 'active', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            $17, $18, $18)"#,
        certificate.id.as_uuid(),
        new.organization_id.as_uuid(),
        certificate.certificate_type.as_str(),
        certificate.signed_by.as_uuid(),
        new.private_key.id.as_uuid(),
        certificate.serial_number,
        new.subject,
        new.common_name,
        certificate.der,
        certificate.fingerprint_sha256.as_slice(),
        new.private_key.spki_sha256.as_slice(),
        certificate.tbs_sha256.as_slice(),
        new.key_algorithm.as_str(),
        certificate.signature_algorithm.as_str(),
        certificate.not_before,
        certificate.not_after,
        new.created_by_user_id.map(UserId::as_uuid),
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_organizations(
    connection: &mut PgConnection,
    new: &NewIssuer,
) -> Result<(), sqlx::Error> {
    let organizations: Vec<Uuid> = new
        .organization_ids
        .iter()
        .copied()
        .map(Uuid::from)
        .collect();
    sqlx::query!(
        r#"-- issuers::insert_organizations
        INSERT INTO issuer_organizations (issuer_id, organization_id, granted_at,
            granted_by_user_id)
        SELECT $1, granted.organization_id, $3, $4
        FROM unnest($2::uuid[]) AS granted (organization_id)"#,
        new.id.as_uuid(),
        &organizations,
        new.created_at,
        new.created_by_user_id.map(UserId::as_uuid),
    )
    .execute(connection)
    .await?;
    Ok(())
}
