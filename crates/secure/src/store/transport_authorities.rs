//! `transport_authorities`: the authority for those who call from another process, of the system
//! organization. One is in force, however many processes start at once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{PrivateKeyId, SYSTEM_ORGANIZATION, TransportAuthorityId};
use sqlx::PgConnection;

use super::private_keys::{self, NewPrivateKey};
use super::{SecureStore, audit};

/// The authority in force.
#[derive(Clone, Debug)]
pub(crate) struct StoredAuthority {
    pub(crate) id: TransportAuthorityId,
    pub(crate) private_key_id: PrivateKeyId,
    pub(crate) certificate_der: Vec<u8>,
}

/// An authority to be stored with its key.
#[derive(Clone, Debug)]
pub(crate) struct NewAuthority {
    pub(crate) id: TransportAuthorityId,
    pub(crate) private_key: NewPrivateKey,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) not_after: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

impl SecureStore {
    /// The authority in force, once there is one.
    pub(crate) async fn find_transport_authority(
        &self,
    ) -> Result<Option<StoredAuthority>, DatabaseError> {
        let scope = Scope::Organization(SYSTEM_ORGANIZATION);
        let row = self
            .pool
            .transact("find transport authority", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query!(
                        r#"-- transport_authorities::find_in_force
                        SELECT id, private_key_id, certificate_der
                        FROM transport_authorities
                        WHERE organization_id = $1 AND retired_at IS NULL"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        Ok(row.map(|row| StoredAuthority {
            id: row.id.into(),
            private_key_id: row.private_key_id.into(),
            certificate_der: row.certificate_der,
        }))
    }

    /// Writes an authority with its key; false when there is one already, and nothing is written.
    pub(crate) async fn insert_transport_authority(
        &self,
        new: NewAuthority,
    ) -> Result<bool, DatabaseError> {
        let new = Arc::new(new);
        let scope = Scope::Organization(SYSTEM_ORGANIZATION);
        let inserted = self
            .pool
            .transact("create transport authority", scope, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    let owner = (SYSTEM_ORGANIZATION, None);
                    private_keys::insert(connection, &new.private_key, owner, new.created_at)
                        .await?;
                    insert(connection, &new).await?;
                    audit::insert(connection, &new.audit).await?;
                    Ok::<_, Abort<DatabaseError>>(())
                })
            })
            .await;
        match inserted {
            Ok(()) => Ok(true),
            Err(error) if error.is_duplicate_of("ux_transport_authorities_organization_id") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

async fn insert(connection: &mut PgConnection, new: &NewAuthority) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- transport_authorities::insert
        INSERT INTO transport_authorities (id, organization_id, private_key_id, certificate_der,
            not_after, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)"#,
        new.id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
        new.private_key.id.as_uuid(),
        new.certificate_der,
        new.not_after,
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
