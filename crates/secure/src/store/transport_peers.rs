//! `transport_peers`: the programs that may call from another process, of the system organization.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{SYSTEM_ORGANIZATION, TransportPeerId};
use clm_secure_api::Caller;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{SecureStore, audit, unknown};

/// Where all rows are.
const SCOPE: Scope = Scope::Organization(SYSTEM_ORGANIZATION);
/// Most peers that are listed.
const PEERS_MAX: i64 = 1_000;

/// A peer.
#[derive(Clone, Debug)]
pub(crate) struct StoredPeer {
    pub(crate) id: TransportPeerId,
    pub(crate) name: String,
    pub(crate) caller: Caller,
    pub(crate) token_expires_at: DateTime<Utc>,
    pub(crate) paired_at: Option<DateTime<Utc>>,
    pub(crate) renewed_at: Option<DateTime<Utc>>,
    pub(crate) certificate_not_after: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

/// What a peer is looked for by. Each means one row at most.
#[derive(Clone, Copy)]
pub(crate) enum PeerKey<'a> {
    /// Its id, revoked or not.
    Id(TransportPeerId),
    /// The hash of the secret of its token, whatever became of that.
    TokenSha256(&'a [u8; 32]),
    /// Its name, as long as it is not revoked.
    Name(&'a str),
}

/// A peer to be invited.
#[derive(Clone, Debug)]
pub(crate) struct NewPeer {
    pub(crate) id: TransportPeerId,
    pub(crate) name: String,
    pub(crate) caller: &'static str,
    pub(crate) token_sha256: [u8; 32],
    pub(crate) token_expires_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

/// What a peer was given.
#[derive(Clone, Debug)]
pub(crate) struct PeerCertificate {
    pub(crate) peer_id: TransportPeerId,
    pub(crate) sha256: [u8; 32],
    pub(crate) not_after: DateTime<Utc>,
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

struct PeerRow {
    id: Uuid,
    name: String,
    caller: String,
    token_expires_at: DateTime<Utc>,
    paired_at: Option<DateTime<Utc>>,
    renewed_at: Option<DateTime<Utc>>,
    certificate_not_after: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

impl PeerRow {
    fn into_stored(self) -> Result<StoredPeer, DatabaseError> {
        let caller = read_caller(&self.caller);
        Ok(StoredPeer {
            id: self.id.into(),
            caller: caller.ok_or_else(|| unknown("transport_peers.caller", &self.caller))?,
            name: self.name,
            token_expires_at: self.token_expires_at,
            paired_at: self.paired_at,
            renewed_at: self.renewed_at,
            certificate_not_after: self.certificate_not_after,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// The word for a caller that may come from another process.
pub(crate) const fn caller_word(caller: Caller) -> Option<&'static str> {
    match caller {
        Caller::Core => Some("core"),
        // Runs in the process of the service alone.
        Caller::Bootstrap | Caller::Operator => None,
    }
}

/// The reverse of [`caller_word`].
pub(crate) fn read_caller(word: &str) -> Option<Caller> {
    (caller_word(Caller::Core) == Some(word)).then_some(Caller::Core)
}

impl SecureStore {
    /// Writes an invitation. A name that is taken is [`DatabaseError::Duplicate`].
    pub(crate) async fn insert_transport_peer(&self, new: NewPeer) -> Result<(), DatabaseError> {
        let new = Arc::new(new);
        self.pool
            .transact("invite transport peer", SCOPE, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    insert(connection, &new).await?;
                    audit::insert(connection, &new.audit).await?;
                    Ok::<_, Abort<DatabaseError>>(())
                })
            })
            .await
    }

    /// The peer that a key means.
    pub(crate) async fn find_transport_peer(
        &self,
        key: PeerKey<'_>,
    ) -> Result<Option<StoredPeer>, DatabaseError> {
        let (mut id, mut token, mut name) = (None, None, None);
        match key {
            PeerKey::Id(wanted) => id = Some(wanted.as_uuid()),
            PeerKey::TokenSha256(wanted) => token = Some(wanted.to_vec()),
            PeerKey::Name(wanted) => name = Some(wanted.to_owned()),
        }
        let wanted = Arc::new((id, token, name));
        let row = self
            .pool
            .transact("find transport peer", SCOPE, |connection| {
                let wanted = Arc::clone(&wanted);
                Box::pin(async move {
                    let (id, token, name) = wanted.as_ref();
                    let row = sqlx::query_as!(
                        PeerRow,
                        r#"-- transport_peers::find
                        SELECT id, name, caller, token_expires_at, paired_at, renewed_at,
                            certificate_not_after, created_at, revoked_at
                        FROM transport_peers
                        WHERE organization_id = $1 AND (id = $2 OR token_sha256 = $3
                            OR name = $4 AND revoked_at IS NULL)"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        *id,
                        token.as_deref(),
                        name.as_deref(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(PeerRow::into_stored).transpose()
    }

    /// All peers, newest first.
    pub(crate) async fn list_transport_peers(&self) -> Result<Vec<StoredPeer>, DatabaseError> {
        let rows = self
            .pool
            .transact("list transport peers", SCOPE, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        PeerRow,
                        r#"-- transport_peers::list
                        SELECT id, name, caller, token_expires_at, paired_at, renewed_at,
                            certificate_not_after, created_at, revoked_at
                        FROM transport_peers WHERE organization_id = $1
                        ORDER BY created_at DESC, id DESC LIMIT $2"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        PEERS_MAX,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter().map(PeerRow::into_stored).collect()
    }

    /// Uses the token of a peer; false when it was used, revoked or expired meanwhile.
    pub(crate) async fn pair_transport_peer(
        &self,
        issued: PeerCertificate,
    ) -> Result<bool, DatabaseError> {
        let issued = Arc::new(issued);
        self.pool
            .transact("pair transport peer", SCOPE, |connection| {
                let issued = Arc::clone(&issued);
                Box::pin(async move {
                    // Who comes second waits here for the first one, and then finds it used.
                    let used = sqlx::query!(
                        r#"-- transport_peers::pair
                        UPDATE transport_peers
                        SET paired_at = $3, certificate_sha256 = $4, certificate_not_after = $5
                        WHERE organization_id = $1 AND id = $2 AND paired_at IS NULL
                          AND revoked_at IS NULL AND token_expires_at > $3"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        issued.peer_id.as_uuid(),
                        issued.issued_at,
                        issued.sha256.as_slice(),
                        issued.not_after,
                    )
                    .execute(&mut *connection)
                    .await?;
                    record(connection, used.rows_affected(), &issued.audit).await
                })
            })
            .await
    }

    /// Records the next certificate of a peer; false when it was revoked meanwhile.
    pub(crate) async fn renew_transport_peer(
        &self,
        issued: PeerCertificate,
    ) -> Result<bool, DatabaseError> {
        let issued = Arc::new(issued);
        self.pool
            .transact("renew transport peer", SCOPE, |connection| {
                let issued = Arc::clone(&issued);
                Box::pin(async move {
                    let renewed = sqlx::query!(
                        r#"-- transport_peers::renew
                        UPDATE transport_peers
                        SET renewed_at = $3, certificate_sha256 = $4, certificate_not_after = $5
                        WHERE organization_id = $1 AND id = $2 AND paired_at IS NOT NULL
                          AND revoked_at IS NULL"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        issued.peer_id.as_uuid(),
                        issued.issued_at,
                        issued.sha256.as_slice(),
                        issued.not_after,
                    )
                    .execute(&mut *connection)
                    .await?;
                    record(connection, renewed.rows_affected(), &issued.audit).await
                })
            })
            .await
    }

    /// Forbids a peer to call; false when that was done meanwhile.
    pub(crate) async fn revoke_transport_peer(
        &self,
        id: TransportPeerId,
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let audit_row = Arc::new(audit_row);
        self.pool
            .transact("revoke transport peer", SCOPE, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let revoked = sqlx::query!(
                        r#"-- transport_peers::revoke
                        UPDATE transport_peers SET revoked_at = $3
                        WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        id.as_uuid(),
                        now,
                    )
                    .execute(&mut *connection)
                    .await?;
                    record(connection, revoked.rows_affected(), &audit_row).await
                })
            })
            .await
    }
}

/// Writes the event of an act that changed a row.
async fn record(
    connection: &mut PgConnection,
    changed: u64,
    row: &AuditRow,
) -> Result<bool, Abort<DatabaseError>> {
    if changed > 0 {
        audit::insert(connection, row).await?;
    }
    Ok(changed > 0)
}

async fn insert(connection: &mut PgConnection, new: &NewPeer) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- transport_peers::insert
        INSERT INTO transport_peers (id, organization_id, name, caller, token_sha256,
            token_expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)"#,
        new.id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
        new.name,
        new.caller,
        new.token_sha256.as_slice(),
        new.token_expires_at,
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
