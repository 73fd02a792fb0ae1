//! The one statement that records an issuance (request, certificate, sealed key, audit event and
//! outbox row), and the way back from what it stored, for a repeated command.
//!
//! The statement sets its own scope, commits by itself and takes one round trip. It writes
//! everything or nothing.

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::actor::Actor;
use clm_domain::audit::AuditRow;
use clm_domain::ids::{
    ApiKeyId, CertificateRequestId, EventId, OrganizationId, RequestId, SessionId, UserId,
};
use clm_domain::key_algorithm::SignatureAlgorithm;
use clm_secure_api::IdempotencyKey;
use clm_secure_api::event::{Event, EventBody};
use uuid::Uuid;

use super::certificate_requests::{SOURCE_CSR, SOURCE_SERVER_KEY};
use super::certificates::CertificateRow;
use super::private_keys::NewPrivateKey;
use super::{SecureStore, unknown};
use crate::audit::local_operator_uid;
use crate::envelope::ALGORITHM;

/// The name of the transaction in errors.
const TRANSACTION: &str = "issue certificate";

/// Everything that an issuance leaves behind.
pub(crate) struct NewIssuance {
    /// The event for the core, whose record holds most columns.
    pub(crate) event: Event,
    /// The event as JSON.
    pub(crate) event_json: serde_json::Value,
    /// The context of people as JSON.
    pub(crate) context_json: serde_json::Value,
    /// When the relay may carry the event.
    pub(crate) event_available_at: DateTime<Utc>,
    /// Set when the requester holds the key.
    pub(crate) csr_der: Option<Vec<u8>>,
    /// Set when the platform made the key.
    pub(crate) private_key: Option<NewPrivateKey>,
    /// The serial number.
    pub(crate) serial_number: Vec<u8>,
    /// The certificate.
    pub(crate) certificate_der: Vec<u8>,
    /// SHA-256 of its to-be-signed part.
    pub(crate) tbs_sha256: [u8; 32],
    /// How it is signed.
    pub(crate) signature_algorithm: SignatureAlgorithm,
    /// What makes the command safe to repeat.
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// The audit event.
    pub(crate) audit: AuditRow,
}

/// What an earlier command with the same key or request id left behind.
pub(crate) struct StoredIssuance {
    /// The hash of the body that came with the key.
    pub(crate) request_sha256: Option<Vec<u8>>,
    /// The event as it was.
    pub(crate) event: Event,
    /// The certificate.
    pub(crate) certificate_der: Vec<u8>,
}

/// The columns of the audit event that say who caused an issuance.
struct CauseRow {
    actor_type: String,
    actor_id: Option<Uuid>,
    user_id: Option<Uuid>,
    session_id: Option<Uuid>,
    request_id: Option<Uuid>,
    details: serde_json::Value,
}

impl SecureStore {
    /// Records an issuance; false when the request id or the idempotency key is taken, and nothing
    /// was written.
    ///
    /// # Errors
    /// [`DatabaseError::OutcomeUnknown`] when the connection broke after the statement was sent.
    pub(crate) async fn insert_issuance(&self, new: &NewIssuance) -> Result<bool, DatabaseError> {
        // Separately, so that a failure to connect is not mistaken for an open outcome.
        let mut connection = self
            .pool
            .unscoped()
            .acquire()
            .await
            .map_err(|error| self.pool.statement_error(error))?;
        let inserted = statement(&mut connection, new).await;
        inserted
            .map(|requests| requests > 0)
            .map_err(|error| self.pool.commit_error(TRANSACTION, error))
    }

    /// Takes an idempotency key off a request made before `forgotten_before`, so that it can be used
    /// anew. Applying it to a younger one, or again, changes nothing.
    pub(crate) async fn forget_idempotency_key(
        &self,
        organization_id: OrganizationId,
        key: IdempotencyKey,
        forgotten_before: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("forget idempotency key", scope, |connection| {
                Box::pin(async move {
                    sqlx::query!(
                        "-- issuance::forget_idempotency_key
                        UPDATE certificate_requests
                        SET idempotency_key_sha256 = NULL, request_sha256 = NULL
                        WHERE organization_id = $1 AND idempotency_key_sha256 = $2
                            AND created_at < $3",
                        organization_id.as_uuid(),
                        key.key_sha256.as_slice(),
                        forgotten_before,
                    )
                    .execute(connection)
                    .await?;
                    Ok::<(), Abort<DatabaseError>>(())
                })
            })
            .await
    }

    /// What a command with this idempotency key, or without one with this request id, has issued
    /// already.
    pub(crate) async fn find_issuance(
        &self,
        organization_id: OrganizationId,
        request_id: CertificateRequestId,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<Option<StoredIssuance>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let key_sha256 = idempotency_key.map(|key| key.key_sha256.to_vec());
        self.pool
            .transact("find issuance", scope, |connection| {
                let key_sha256 = key_sha256.clone();
                Box::pin(async move {
                    let request =
                        find_request(connection, organization_id, request_id, key_sha256).await?;
                    let Some((stored_id, request_sha256)) = request else {
                        return Ok(None);
                    };
                    let Some((row, event_id)) =
                        find_certificate(connection, organization_id, stored_id).await?
                    else {
                        return Ok(None);
                    };
                    let cause = find_cause(connection, &row).await?;
                    let stored = rebuild(row, event_id, &cause, request_sha256);
                    stored.map(Some).map_err(Abort::<DatabaseError>::Caller)
                })
            })
            .await
    }
}

/// How many requests were inserted: one, or none.
#[expect(
    clippy::too_many_lines,
    reason = "one statement with its parameters, which must be read side by side"
)]
async fn statement(
    connection: &mut sqlx::PgConnection,
    new: &NewIssuance,
) -> Result<i64, sqlx::Error> {
    let event = &new.event;
    let record = event.body.record();
    let audit = &new.audit;
    let key = new.private_key.as_ref();
    let source = if new.csr_der.is_some() {
        SOURCE_CSR
    } else {
        SOURCE_SERVER_KEY
    };
    let idempotency = new.idempotency_key.as_ref();
    let canonical_sha256 = audit.canonical_sha256();
    sqlx::query_scalar!(
        r#"-- issuance::insert
        WITH scope AS MATERIALIZED (
            SELECT set_config('app.current_org_id', ($1::uuid)::text, true)
        ), request AS (
            -- Without a target: a known id means a repetition as much as a known key does.
            INSERT INTO certificate_requests (id, organization_id, status, request_source, csr_der,
                issuer_id, subject, subject_alternative_names, key_algorithm, spki_sha256,
                requested_certificate_type, requester_user_id, requester_actor_type,
                requester_actor_id, idempotency_key_sha256, request_sha256, submitted_at,
                approved_at, fulfilled_at, created_at, updated_at)
            SELECT $2::uuid, $1::uuid, 'fulfilled', $3::text, $4::bytea, $5::uuid, $6::text,
                $7::text[], $8::text, $9::bytea, $10::text, $11::uuid, $12::text, $13::uuid,
                $14::bytea, $15::bytea, $16::timestamptz, $16, $16, $16, $16
            FROM scope
            ON CONFLICT DO NOTHING
            RETURNING id
        ), private_key AS (
            INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der,
                key_algorithm, key_usage_purpose, encrypted_key_material, encryption_key_id,
                encryption_algorithm, encryption_iv, encryption_auth_tag, exportable,
                created_by_user_id, created_at, updated_at)
            SELECT $17::uuid, $1, $9, $18::bytea, $8, $19::text, $20::bytea, $21::uuid, $22::text,
                $23::bytea, $24::bytea, $25::boolean, $11, $16, $16
            FROM request WHERE $17 IS NOT NULL
        ), certificate AS (
            INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id,
                certificate_request_id, private_key_id, serial_number, subject, common_name,
                subject_alternative_names, certificate_der, fingerprint_sha256, spki_sha256,
                tbs_sha256, key_algorithm, signature_algorithm, not_before, not_after,
                owner_user_id, revision, issuance_context, issued_event_id, created_at, updated_at)
            SELECT $26::uuid, $1, $10, $27::text, $5, request.id, $17, $28::bytea, $6, $29::text,
                $7, $30::bytea, $31::bytea, $9, $32::bytea, $8, $33::text, $34::timestamptz,
                $35::timestamptz, $36::uuid, $37::bigint, $38::jsonb, $39::uuid, $16, $16
            FROM request
        ), audit AS (
            INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code,
                event_category, severity, result, actor_type, actor_id, user_id, resource_type,
                resource_id, request_id, session_id, details, canonical_sha256)
            SELECT $40::uuid, $16, $1, $41::text, $42::text, $43::text, $44::text, $12, $13, $11,
                $45::text, $26, $46::uuid, $47::uuid, $48::jsonb, $49::bytea
            FROM request
        ), event AS (
            INSERT INTO outbox (id, organization_id, aggregate_type, aggregate_id, revision,
                event_type, payload, created_at, available_at)
            SELECT $39, $1, 'certificate', $26, $37, $50::text, $51::jsonb, $16, $52::timestamptz
            FROM request
        )
        SELECT count(*) AS "inserted!" FROM request"#,
        event.organization_id.as_uuid(),
        record
            .certificate_request_id
            .map(CertificateRequestId::as_uuid),
        source,
        new.csr_der.as_deref(),
        record.issuer_id.map(Uuid::from),
        record.subject,
        &record.subject_alternative_names,
        record.key_algorithm.as_str(),
        record.spki_sha256,
        record.certificate_type.as_str(),
        event.actor.user_id().map(Uuid::from),
        event.actor.kind(),
        event.actor.id(),
        idempotency.map(|key| key.key_sha256.as_slice()),
        idempotency.map(|key| key.request_sha256.as_slice()),
        event.occurred_at,
        key.map(|key| key.id.as_uuid()),
        key.map(|key| key.public_key_der.as_slice()),
        key.map(|key| key.purpose.as_str()),
        key.map(|key| key.sealed.ciphertext.as_slice()),
        key.map(|key| key.encryption_key_id.as_uuid()),
        ALGORITHM,
        key.map(|key| key.sealed.nonce.as_slice()),
        key.map(|key| key.sealed.tag.as_slice()),
        key.map(|key| key.exportable),
        record.certificate_id.as_uuid(),
        record.status.as_str(),
        new.serial_number,
        record.common_name,
        new.certificate_der,
        record.fingerprint_sha256,
        new.tbs_sha256.as_slice(),
        new.signature_algorithm.as_str(),
        record.not_before,
        record.not_after,
        record.context.owner_user_id.map(UserId::as_uuid),
        record.revision,
        new.context_json,
        event.event_id.as_uuid(),
        audit.id.as_uuid(),
        audit.event_code,
        audit.event_category,
        audit.severity.as_str(),
        audit.result.as_str(),
        audit.resource_type,
        audit.request_id,
        audit.session_id,
        audit.details,
        canonical_sha256.as_slice(),
        event.body.name(),
        new.event_json,
        new.event_available_at,
    )
    .fetch_one(connection)
    .await
}

/// The request by its idempotency key, without one by its id: two statements, so that each has its
/// index.
async fn find_request(
    connection: &mut sqlx::PgConnection,
    organization_id: OrganizationId,
    id: CertificateRequestId,
    key_sha256: Option<Vec<u8>>,
) -> Result<Option<(Uuid, Option<Vec<u8>>)>, sqlx::Error> {
    let Some(key_sha256) = key_sha256 else {
        let found = sqlx::query!(
            r#"-- issuance::find_request
            SELECT id, request_sha256 FROM certificate_requests
            WHERE organization_id = $1 AND id = $2"#,
            organization_id.as_uuid(),
            id.as_uuid(),
        )
        .fetch_optional(connection)
        .await?;
        return Ok(found.map(|request| (request.id, request.request_sha256)));
    };
    let found = sqlx::query!(
        r#"-- issuance::find_request_by_key
        SELECT id, request_sha256 FROM certificate_requests
        WHERE organization_id = $1 AND idempotency_key_sha256 = $2"#,
        organization_id.as_uuid(),
        key_sha256,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|request| (request.id, request.request_sha256)))
}

async fn find_certificate(
    connection: &mut sqlx::PgConnection,
    organization_id: OrganizationId,
    request_id: Uuid,
) -> Result<Option<(CertificateRow, Uuid)>, Abort<DatabaseError>> {
    let row = sqlx::query_as!(
        CertificateRow,
        r#"-- issuance::find_certificate
        SELECT id, organization_id, certificate_request_id, issuer_id, revision, certificate_type,
            status, serial_number, subject, common_name, subject_alternative_names,
            fingerprint_sha256, spki_sha256, key_algorithm, not_before, not_after, private_key_id,
            issuance_context, certificate_der, created_at
        FROM certificates
        WHERE organization_id = $1 AND certificate_request_id = $2"#,
        organization_id.as_uuid(),
        request_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let event_id = sqlx::query_scalar!(
        r#"-- issuance::find_event_id
        SELECT issued_event_id FROM certificates WHERE organization_id = $1 AND id = $2"#,
        organization_id.as_uuid(),
        row.id,
    )
    .fetch_one(connection)
    .await?;
    let missing = || {
        unknown(
            "certificates.issued_event_id",
            "a certificate without its event",
        )
    };
    let event_id = event_id.ok_or_else(missing).map_err(Abort::Caller)?;
    Ok(Some((row, event_id)))
}

/// The audit event of an issuance, which has the timestamp of its certificate.
async fn find_cause(
    connection: &mut sqlx::PgConnection,
    row: &CertificateRow,
) -> Result<CauseRow, Abort<DatabaseError>> {
    let cause = sqlx::query_as!(
        CauseRow,
        r#"-- issuance::find_cause
        SELECT actor_type, actor_id, user_id, session_id, request_id, details
        FROM secure_audit_log
        WHERE organization_id = $1 AND resource_type = 'certificate' AND resource_id = $2 AND
            event_timestamp = $3
          AND event_code = 'certificate.issued' AND result = 'success'
        ORDER BY id LIMIT 1"#,
        row.organization_id,
        row.id,
        row.created_at,
    )
    .fetch_optional(connection)
    .await?;
    cause
        .ok_or_else(|| {
            unknown(
                "secure_audit_log",
                "no event for the issuance of a certificate",
            )
        })
        .map_err(Abort::Caller)
}

fn rebuild(
    row: CertificateRow,
    event_id: Uuid,
    cause: &CauseRow,
    request_sha256: Option<Vec<u8>>,
) -> Result<StoredIssuance, DatabaseError> {
    let stored = row.into_stored()?;
    let request_id = cause
        .request_id
        .ok_or_else(|| unknown("secure_audit_log.request_id", "an issuance without request"))?;
    let event = Event {
        event_id: EventId::from_uuid(event_id),
        organization_id: stored.record.organization_id,
        actor: actor(cause)?,
        request_id: RequestId::from_uuid(request_id),
        occurred_at: stored.created_at,
        body: EventBody::CertificateIssued(Box::new(stored.record)),
    };
    Ok(StoredIssuance {
        request_sha256,
        event,
        certificate_der: stored.certificate_der,
    })
}

/// The actor that an audit event was made from.
fn actor(cause: &CauseRow) -> Result<Actor, DatabaseError> {
    let uid = local_operator_uid(&cause.details);
    match (
        cause.actor_type.as_str(),
        cause.actor_id,
        cause.user_id,
        cause.session_id,
        uid,
    ) {
        ("user", Some(user_id), _, Some(session_id), _) => Ok(Actor::User {
            user_id: UserId::from_uuid(user_id),
            session_id: SessionId::from_uuid(session_id),
        }),
        ("api_key", Some(api_key_id), Some(user_id), _, _) => Ok(Actor::ApiKey {
            api_key_id: ApiKeyId::from_uuid(api_key_id),
            user_id: UserId::from_uuid(user_id),
        }),
        ("local_operator", _, _, _, Some(uid)) => Ok(Actor::LocalOperator { uid }),
        ("anonymous", ..) => Ok(Actor::Anonymous),
        ("system", ..) => Ok(Actor::System),
        (other, ..) => Err(unknown("secure_audit_log.actor_type", other)),
    }
}
