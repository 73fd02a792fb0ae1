//! The one statement that records issuances (request, certificate, sealed key, audit event and
//! outbox row of each), and the way back from what it stored, for a repeated command.
//!
//! The statement sets its own scope, commits by itself and takes one round trip for all issuances
//! of an organization that wait at that moment. It writes everything or nothing.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clm_database::group_commit::{BatchWriter, array_literal, column};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::actor::Actor;
use clm_domain::audit::AuditRow;
use clm_domain::ids::{
    ApiKeyId, CertificateRequestId, EventId, OrganizationId, RequestId, SessionId, UserId,
};
use clm_domain::key_algorithm::SignatureAlgorithm;
use clm_secure_api::IdempotencyKey;
use clm_secure_api::event::{CertificateRecord, Event, EventBody};
use sqlx::PgConnection;
use uuid::Uuid;

use super::certificate_requests::{SOURCE_CSR, SOURCE_SERVER_KEY};
use super::certificates::CertificateRow;
use super::private_keys::NewPrivateKey;
use super::{SecureStore, unknown};
use crate::audit::local_operator_uid;
use crate::envelope::ALGORITHM;

/// Everything that an issuance leaves behind.
pub(crate) struct NewIssuance {
    /// The event for the core, whose record holds most columns.
    pub(crate) event: Event,
    /// The event as JSON.
    pub(crate) event_json: String,
    /// The context of people as JSON.
    pub(crate) context_json: String,
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
    /// Records an issuance, together with others that come at the same time, and returns it; false
    /// when the request id or the idempotency key is taken, and nothing of it was written.
    ///
    /// # Errors
    /// [`DatabaseError::OutcomeUnknown`] when the connection broke after the statement was sent.
    pub(crate) async fn insert_issuance(
        &self,
        new: Box<NewIssuance>,
    ) -> Result<(Box<NewIssuance>, bool), DatabaseError> {
        let organization_id = new.event.organization_id;
        self.issuances.submit(organization_id, new).await
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

/// Writes issuances in batches.
pub(crate) struct IssuanceWriter;

impl BatchWriter for IssuanceWriter {
    type Item = Box<NewIssuance>;
    type Key = Option<CertificateRequestId>;
    /// Whether it was written.
    type Outcome = bool;

    const NAME: &'static str = "issue certificate";

    fn key(item: &Self::Item) -> Self::Key {
        item.event.body.record().certificate_request_id
    }

    fn bytes(item: &Self::Item) -> usize {
        let csr = item.csr_der.as_ref().map_or(0, Vec::len);
        // The names stand in a column and in the event.
        csr + item.certificate_der.len() + 2 * item.event_json.len()
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        organization_id: OrganizationId,
        items: &[&Self::Item],
    ) -> Result<Vec<bool>, sqlx::Error> {
        let mut ordered: Vec<&NewIssuance> = items.iter().map(|item| item.as_ref()).collect();
        // Two batches that meet the same keys take them in the same order and do not deadlock.
        ordered.sort_by_key(|new| {
            let key = new.idempotency_key.map(|key| key.key_sha256);
            (key, new.record().certificate_request_id)
        });
        let inserted = insert(connection, organization_id, &ordered).await?;
        let inserted: HashSet<Uuid> = inserted.into_iter().collect();
        let is_inserted = |id: CertificateRequestId| inserted.contains(&id.as_uuid());
        Ok(items
            .iter()
            .map(|item| Self::key(item).is_some_and(is_inserted))
            .collect())
    }
}

/// The ids of the requests that were inserted.
#[expect(
    clippy::too_many_lines,
    reason = "one statement with its parameters, which must be read side by side"
)]
async fn insert(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    news: &[&NewIssuance],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- issuance::insert
        WITH scope AS MATERIALIZED (
            SELECT set_config('app.current_org_id', ($1::uuid)::text, true)
        ), new AS MATERIALIZED (
            SELECT request_id, request_source, csr_der, issuer_id, subject,
                names::text[] AS names, key_algorithm, spki_sha256, certificate_type, user_id,
                actor_type, actor_id, idempotency_key_sha256, request_sha256, occurred_at,
                private_key_id, public_key_der, key_usage_purpose, encrypted_key_material,
                encryption_key_id, encryption_iv, encryption_auth_tag, exportable, certificate_id,
                status, serial_number, common_name, certificate_der, fingerprint_sha256, tbs_sha256,
                signature_algorithm, not_before, not_after, owner_user_id, revision, context,
                event_id, audit_id, event_code, event_category, severity, result, resource_type,
                correlation_id, session_id, details, canonical_sha256, event_type, payload,
                available_at
            FROM scope, unnest($2::uuid[], $3::text[], $4::bytea[], $5::uuid[], $6::text[],
                $7::text[], $8::text[], $9::bytea[], $10::text[], $11::uuid[], $12::text[],
                $13::uuid[], $14::bytea[], $15::bytea[], $16::timestamptz[], $17::uuid[],
                $18::bytea[], $19::text[], $20::bytea[], $21::uuid[], $23::bytea[], $24::bytea[],
                $25::boolean[], $26::uuid[], $27::text[], $28::bytea[], $29::text[], $30::bytea[],
                $31::bytea[], $32::bytea[], $33::text[], $34::timestamptz[], $35::timestamptz[],
                $36::uuid[], $37::bigint[], $38::text[], $39::uuid[], $40::uuid[], $41::text[],
                $42::text[], $43::text[], $44::text[], $45::text[], $46::uuid[], $47::uuid[],
                $48::text[], $49::bytea[], $50::text[], $51::text[], $52::timestamptz[])
            AS new (request_id, request_source, csr_der, issuer_id, subject, names, key_algorithm,
                spki_sha256, certificate_type, user_id, actor_type, actor_id,
                idempotency_key_sha256, request_sha256, occurred_at, private_key_id, public_key_der,
                key_usage_purpose, encrypted_key_material, encryption_key_id, encryption_iv,
                encryption_auth_tag, exportable, certificate_id, status, serial_number, common_name,
                certificate_der, fingerprint_sha256, tbs_sha256, signature_algorithm, not_before,
                not_after, owner_user_id, revision, context, event_id, audit_id, event_code,
                event_category, severity, result, resource_type, correlation_id, session_id,
                details, canonical_sha256, event_type, payload, available_at)
        ), request AS (
            -- Without a target: a known id means a repetition as much as a known key does.
            INSERT INTO certificate_requests (id, organization_id, status, request_source, csr_der,
                issuer_id, subject, subject_alternative_names, key_algorithm, spki_sha256,
                requested_certificate_type, requester_user_id, requester_actor_type,
                requester_actor_id, idempotency_key_sha256, request_sha256, submitted_at,
                approved_at, fulfilled_at, created_at, updated_at)
            SELECT request_id, $1, 'fulfilled', request_source, csr_der, issuer_id, subject, names,
                key_algorithm, spki_sha256, certificate_type, user_id, actor_type, actor_id,
                idempotency_key_sha256, request_sha256, occurred_at, occurred_at, occurred_at,
                occurred_at, occurred_at
            FROM new
            ON CONFLICT DO NOTHING
            RETURNING id
        ), private_key AS (
            INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der,
                key_algorithm, key_usage_purpose, encrypted_key_material, encryption_key_id,
                encryption_algorithm, encryption_iv, encryption_auth_tag, exportable,
                created_by_user_id, created_at, updated_at)
            SELECT private_key_id, $1, spki_sha256, public_key_der, key_algorithm,
                key_usage_purpose, encrypted_key_material, encryption_key_id, $22::text,
                encryption_iv, encryption_auth_tag, exportable, user_id, occurred_at, occurred_at
            FROM request JOIN new ON request_id = request.id
            WHERE private_key_id IS NOT NULL
        ), certificate AS (
            INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id,
                certificate_request_id, private_key_id, serial_number, subject, common_name,
                subject_alternative_names, certificate_der, fingerprint_sha256, spki_sha256,
                tbs_sha256, key_algorithm, signature_algorithm, not_before, not_after,
                owner_user_id, revision, issuance_context, issued_event_id, created_at, updated_at)
            SELECT certificate_id, $1, certificate_type, new.status, issuer_id, request_id,
                private_key_id, serial_number, subject, common_name, names, certificate_der,
                fingerprint_sha256, spki_sha256, tbs_sha256, key_algorithm, signature_algorithm,
                not_before, not_after, owner_user_id, revision, context::jsonb, event_id,
                occurred_at, occurred_at
            FROM request JOIN new ON request_id = request.id
        ), audit AS (
            INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code,
                event_category, severity, result, actor_type, actor_id, user_id, resource_type,
                resource_id, request_id, session_id, details, canonical_sha256)
            SELECT audit_id, occurred_at, $1, event_code, event_category, severity, result,
                actor_type, actor_id, user_id, resource_type, certificate_id, correlation_id,
                session_id, details::jsonb, canonical_sha256
            FROM request JOIN new ON request_id = request.id
        ), event AS (
            INSERT INTO outbox (id, organization_id, aggregate_type, aggregate_id, revision,
                event_type, payload, created_at, available_at)
            SELECT event_id, $1, 'certificate', certificate_id, revision, event_type,
                payload::jsonb, occurred_at, available_at
            FROM request JOIN new ON request_id = request.id
        )
        SELECT id FROM request"#,
        organization_id.as_uuid(),
        &column(news, |new| new
            .record()
            .certificate_request_id
            .map(Uuid::from)) as _,
        &column(news, |new| new.source()) as _,
        &column(news, |new| new.csr_der.as_deref()) as _,
        &column(news, |new| new.record().issuer_id.map(Uuid::from)) as _,
        &column(news, |new| new.record().subject.as_str()) as _,
        &column(news, |new| array_literal(
            &new.record().subject_alternative_names
        )) as _,
        &column(news, |new| new.record().key_algorithm.as_str()) as _,
        &column(news, |new| new.record().spki_sha256.as_slice()) as _,
        &column(news, |new| new.record().certificate_type.as_str()) as _,
        &column(news, |new| new.event.actor.user_id().map(Uuid::from)) as _,
        &column(news, |new| new.event.actor.kind()) as _,
        &column(news, |new| new.event.actor.id()) as _,
        &column(news, |new| new
            .idempotency_key
            .as_ref()
            .map(|key| key.key_sha256.as_slice())) as _,
        &column(news, |new| new
            .idempotency_key
            .as_ref()
            .map(|key| key.request_sha256.as_slice())) as _,
        &column(news, |new| new.event.occurred_at) as _,
        &column(news, |new| new.key().map(|key| key.id.as_uuid())) as _,
        &column(news, |new| new
            .key()
            .map(|key| key.public_key_der.as_slice())) as _,
        &column(news, |new| new.key().map(|key| key.purpose.as_str())) as _,
        &column(news, |new| new
            .key()
            .map(|key| key.sealed.ciphertext.as_slice())) as _,
        &column(news, |new| new
            .key()
            .map(|key| key.encryption_key_id.as_uuid())) as _,
        ALGORITHM,
        &column(news, |new| new.key().map(|key| key.sealed.nonce.as_slice())) as _,
        &column(news, |new| new.key().map(|key| key.sealed.tag.as_slice())) as _,
        &column(news, |new| new.key().map(|key| key.exportable)) as _,
        &column(news, |new| new.record().certificate_id.as_uuid()) as _,
        &column(news, |new| new.record().status.as_str()) as _,
        &column(news, |new| new.serial_number.as_slice()) as _,
        &column(news, |new| new.record().common_name.as_deref()) as _,
        &column(news, |new| new.certificate_der.as_slice()) as _,
        &column(news, |new| new.record().fingerprint_sha256.as_slice()) as _,
        &column(news, |new| new.tbs_sha256.as_slice()) as _,
        &column(news, |new| new.signature_algorithm.as_str()) as _,
        &column(news, |new| new.record().not_before) as _,
        &column(news, |new| new.record().not_after) as _,
        &column(news, |new| new
            .record()
            .context
            .owner_user_id
            .map(UserId::as_uuid)) as _,
        &column(news, |new| new.record().revision) as _,
        &column(news, |new| new.context_json.as_str()) as _,
        &column(news, |new| new.event.event_id.as_uuid()) as _,
        &column(news, |new| new.audit.id.as_uuid()) as _,
        &column(news, |new| new.audit.event_code.as_str()) as _,
        &column(news, |new| new.audit.event_category.as_str()) as _,
        &column(news, |new| new.audit.severity.as_str()) as _,
        &column(news, |new| new.audit.result.as_str()) as _,
        &column(news, |new| new.audit.resource_type.as_str()) as _,
        &column(news, |new| new.audit.request_id) as _,
        &column(news, |new| new.audit.session_id) as _,
        &column(news, |new| new.audit.details.to_string()) as _,
        &column(news, |new| new.audit.canonical_sha256().to_vec()) as _,
        &column(news, |new| new.event.body.name()) as _,
        &column(news, |new| new.event_json.as_str()) as _,
        &column(news, |new| new.event_available_at) as _,
    )
    .fetch_all(connection)
    .await
}

impl NewIssuance {
    fn record(&self) -> &CertificateRecord {
        self.event.body.record()
    }

    fn key(&self) -> Option<&NewPrivateKey> {
        self.private_key.as_ref()
    }

    fn source(&self) -> &'static str {
        if self.csr_der.is_some() {
            SOURCE_CSR
        } else {
            SOURCE_SERVER_KEY
        }
    }
}

/// The request by its idempotency key, without one by its id: two statements, so that each has its
/// index.
async fn find_request(
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
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
