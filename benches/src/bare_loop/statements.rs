//! The two statements. Each sets its scope, writes everything and commits by itself, in one round
//! trip. They write what the product writes (the stores of `secure` and `core`): who adds a row or
//! an index there adds the row here, or the yardstick shrinks.

use clm_database::Pool;

use super::certificate::Issuance;
use super::seed::Seed;

/// As `issuance::insert`, for a key that the requester holds.
const SECURE: &str = "-- bare_loop::secure
WITH scope AS MATERIALIZED (
    SELECT set_config('app.current_org_id', ($1::uuid)::text, true)
), request AS (
    INSERT INTO certificate_requests (id, organization_id, status, request_source, csr_der,
        issuer_id, subject, subject_alternative_names, key_algorithm, spki_sha256,
        requested_certificate_type, requester_user_id, requester_actor_type, requester_actor_id,
        idempotency_key_sha256, request_sha256, submitted_at, approved_at, fulfilled_at, created_at,
        updated_at)
    SELECT $2::uuid, $1, 'fulfilled', 'csr', $3::bytea, $4::uuid, $5::text, $6::text[],
        'ecdsa-p256', $7::bytea, 'server', $8::uuid, 'api_key', $9::uuid, $10::bytea, $7,
        $11::timestamptz, $11, $11, $11, $11
    FROM scope
    ON CONFLICT DO NOTHING
    RETURNING id
), certificate AS (
    INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id,
        certificate_request_id, serial_number, subject, common_name, subject_alternative_names,
        certificate_der, fingerprint_sha256, spki_sha256, tbs_sha256, key_algorithm,
        signature_algorithm, not_before, not_after, owner_user_id, revision, issuance_context,
        issued_event_id, created_at, updated_at)
    SELECT $12::uuid, $1, 'server', 'active', $4, request.id, $13::bytea, $5, $14::text, $6,
        $15::bytea, $16::bytea, $7, $17::bytea, 'ecdsa-p256', 'ecdsa-sha256', $18::timestamptz,
        $19::timestamptz, $8, 1, ($20::text)::jsonb, $21::uuid, $11, $11
    FROM request
), audit AS (
    INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code, event_category,
        severity, result, actor_type, actor_id, user_id, resource_type, resource_id, request_id,
        details, canonical_sha256)
    SELECT $22::uuid, $11, $1, 'certificate.issued', 'certificate', 'info', 'success', 'api_key',
        $9, $8, 'certificate', $12, $2, ($23::text)::jsonb, $17
    FROM request
), event AS (
    INSERT INTO outbox (id, organization_id, aggregate_type, aggregate_id, revision, event_type,
        payload, created_at, available_at)
    SELECT $21, $1, 'certificate', $12, 1, 'certificate_issued', ($24::text)::jsonb, $11,
        $11 + interval '5 seconds'
    FROM request
)
SELECT count(*) FROM request";

/// As `certificate_metadata::apply`.
const CORE: &str = "-- bare_loop::core
WITH scope AS MATERIALIZED (
    SELECT set_config('app.current_org_id', ($1::uuid)::text, true) AS org
), applied AS (
    INSERT INTO certificate_metadata (id, organization_id, certificate_id, certificate_request_id,
        issuer_id, certificate_type, status, serial_number, common_name, common_name_normalized,
        subject, subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm,
        not_before, not_after, owner_user_id, has_private_key, environment, tags, custom_fields,
        revision, created_at, updated_at)
    SELECT $2::uuid, org::uuid, $2, $3::uuid, $4::uuid, 'server', 'active', $5::text, $6::text, $6,
        $7::text, $8::text[], $9::bytea, $10::bytea, 'ecdsa-p256', $11::timestamptz,
        $12::timestamptz, $13::uuid, false, NULL, '{}', '{}', 1, $14::timestamptz, $14
    FROM scope
    ON CONFLICT (organization_id, certificate_id) DO UPDATE
    SET status = excluded.status, has_private_key = excluded.has_private_key,
        revision = excluded.revision
    WHERE certificate_metadata.revision < excluded.revision
    RETURNING certificate_id
), recorded AS (
    INSERT INTO audit_log (id, event_timestamp, organization_id, event_code, event_category,
        severity, result, actor_type, actor_id, user_id, resource_type, resource_id, request_id,
        ip_address, details, canonical_sha256)
    SELECT $15::uuid, $14, $1, 'certificate.issued', 'certificate', 'info', 'success', 'api_key',
        $16::uuid, $13, 'certificate', $2, $3, '127.0.0.1', ($17::text)::jsonb, $9
    FROM applied
    RETURNING id
)
SELECT count(*) FROM recorded";

/// Request, certificate, audit event and outbox row, in `clm_secure_db`.
pub(super) async fn write_secure(
    pool: &Pool,
    issuance: &Issuance<'_>,
    seed: &Seed,
) -> anyhow::Result<()> {
    let template = issuance.template;
    let written: i64 = sqlx::query_scalar(SECURE)
        .bind(seed.organization_id)
        .bind(issuance.request_id)
        .bind(&template.csr_der)
        .bind(seed.issuer_id)
        .bind(&template.subject)
        .bind(&template.subject_alternative_names)
        .bind(template.spki_sha256.as_slice())
        .bind(seed.user_id)
        .bind(seed.api_key_id)
        .bind(issuance.idempotency_key_sha256.as_slice())
        .bind(issuance.now)
        .bind(issuance.certificate_id)
        .bind(issuance.serial_number.as_bytes())
        .bind(&template.host)
        .bind(&issuance.certificate_der)
        .bind(issuance.fingerprint_sha256.as_slice())
        .bind(issuance.tbs_sha256.as_slice())
        .bind(template.not_before)
        .bind(template.not_after)
        .bind(&template.context_json)
        .bind(issuance.event_id)
        .bind(issuance.secure_audit_id)
        .bind(&template.secure_details_json)
        .bind(&template.event_json)
        .fetch_one(pool.unscoped())
        .await?;
    anyhow::ensure!(written == 1, "clm_secure_db took nothing");
    Ok(())
}

/// The projection and its audit event, in `clm_core_db`.
pub(super) async fn write_core(
    pool: &Pool,
    issuance: &Issuance<'_>,
    seed: &Seed,
) -> anyhow::Result<()> {
    let template = issuance.template;
    let written: i64 = sqlx::query_scalar(CORE)
        .bind(seed.organization_id)
        .bind(issuance.certificate_id)
        .bind(issuance.request_id)
        .bind(seed.issuer_id)
        .bind(hex::encode(issuance.serial_number.as_bytes()))
        .bind(&template.host)
        .bind(&template.subject)
        .bind(&template.subject_alternative_names)
        .bind(issuance.fingerprint_sha256.as_slice())
        .bind(template.spki_sha256.as_slice())
        .bind(template.not_before)
        .bind(template.not_after)
        .bind(seed.user_id)
        .bind(issuance.now)
        .bind(issuance.core_audit_id)
        .bind(seed.api_key_id)
        .bind(&template.core_details_json)
        .fetch_one(pool.unscoped())
        .await?;
    anyhow::ensure!(written == 1, "clm_core_db took nothing");
    Ok(())
}
