//! What must exist before rows can refer to it: an organization, its user, and an issuer with its
//! certificate and key.

use anyhow::Context as _;
use clm_database::cluster::Cluster;
use clm_database::pool::Database;
use clm_domain::clock::uuid_v7;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_pki::key::spki_sha256;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::certificate::Authority;
use crate::environment::{MachineRng, now};

/// The identifiers of what was planted.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) organization_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) issuer_id: Uuid,
    /// Of a key that does not exist: no row refers to it.
    pub(super) api_key_id: Uuid,
}

/// As in the product the issuer belongs to the system organization, and what it issues does not.
const ISSUER: &str = "-- bare_loop::seed_issuer
WITH private_key AS (
    INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der, key_algorithm,
        key_usage_purpose, hsm_key_id)
    VALUES ($2, $1, $5, $6, 'ecdsa-p256', 'issuer', 'benchmark')
    RETURNING id
), issuer AS (
    INSERT INTO issuers (id, organization_id, name, kind, certificate_id, private_key_id,
        subject_der, subject_key_identifier, key_algorithm, signature_algorithm, limits)
    SELECT $3, $1, 'Benchmark CA', 'root', $4, id, $7, $8, 'ecdsa-p256', 'ecdsa-sha256', '{}'
    FROM private_key
    RETURNING id
)
INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id, serial_number,
    subject, common_name, certificate_der, fingerprint_sha256, spki_sha256, tbs_sha256,
    key_algorithm, signature_algorithm, not_before, not_after)
SELECT $4, $1, 'root', 'active', id, '\\x01'::bytea, 'CN=Benchmark CA', 'Benchmark CA', $7, $5, $5,
    $5, 'ecdsa-p256', 'ecdsa-sha256', now(), $9
FROM issuer";

const ORGANIZATION: &str = "-- bare_loop::seed_organization
WITH organization AS (
    INSERT INTO organizations (id, name, slug) VALUES ($1, 'Benchmark', 'benchmark') RETURNING id
)
INSERT INTO users (id, home_organization_id, username, username_normalized)
SELECT $2, id, 'benchmark', 'benchmark' FROM organization";

/// Plants everything, as the superuser.
pub(super) async fn plant(cluster: &Cluster, authority: &Authority) -> anyhow::Result<Seed> {
    let id = || uuid_v7(now(), &MachineRng);
    let seed = Seed {
        organization_id: id(),
        user_id: id(),
        issuer_id: id(),
        api_key_id: id(),
    };
    let mut core = cluster
        .admin_connect_options(Database::Core.name())
        .connect()
        .await?;
    sqlx::query(ORGANIZATION)
        .bind(seed.organization_id)
        .bind(seed.user_id)
        .execute(&mut core)
        .await
        .context("planting the organization")?;
    core.close().await?;

    let public_key_der = authority.key.subject_public_key_info();
    let mut secure = cluster
        .admin_connect_options(Database::Secure.name())
        .connect()
        .await?;
    sqlx::query(ISSUER)
        .bind(SYSTEM_ORGANIZATION.as_uuid())
        .bind(id())
        .bind(seed.issuer_id)
        .bind(id())
        .bind(spki_sha256(public_key_der).as_slice())
        .bind(public_key_der)
        .bind(&authority.identity.subject_der)
        .bind(&authority.identity.subject_key_identifier)
        .bind(authority.identity.not_after)
        .execute(&mut secure)
        .await
        .context("planting the issuer")?;
    secure.close().await?;
    Ok(seed)
}
