//! All SQL of `clm_secure_db`, one file per aggregate. Nothing outside this module knows a table.
//!
//! Each statement begins with a comment that names it, so that it can be found in
//! `pg_stat_statements`. Reads and updates run in a transaction with a [`Scope`]; inserts of one
//! act are one statement that sets its scope itself.

pub(crate) mod audit;
pub(crate) mod certificate_requests;
pub(crate) mod certificates;
pub(crate) mod data_key_lifecycle;
pub(crate) mod encryption_keys;
pub(crate) mod issuance;
pub(crate) mod issuer_limits;
pub(crate) mod issuers;
pub(crate) mod key_rotation_batches;
pub(crate) mod key_rotation_end;
mod key_rotation_items;
pub(crate) mod key_rotations;
pub(crate) mod master_key_rotation;
pub(crate) mod master_keys;
pub(crate) mod outbox;
pub(crate) mod private_keys;
pub(crate) mod sealed_secrets;
pub(crate) mod step_up_proofs;
pub(crate) mod totp_factors;
pub(crate) mod transport_authorities;
pub(crate) mod transport_peers;

use std::fmt::Display;
use std::str::FromStr;

use clm_database::{DatabaseError, GroupCommit, Pool, Scope};

use crate::envelope::{ALGORITHM, Sealed};
use issuance::IssuanceWriter;

/// Issuers, their chains and their use cross organizations.
const ISSUERS: Scope = Scope::System("issuers and their chains are shared between organizations");
/// A certificate authority is granted to organizations, which no tenant may do.
const CERTIFICATE_AUTHORITY_CREATION: Scope =
    Scope::System("a certificate authority is granted to organizations");
/// Whoever acts as a guest gave the code at home.
const STEP_UP: Scope = Scope::System("a step-up proof is given at home and used anywhere");
/// The relay serves every organization.
const RELAY: Scope = Scope::System("the relay carries the events of every organization");
/// The reconciler compares every organization.
const RECONCILER: Scope =
    Scope::System("the reconciler compares the certificates of every organization");
/// Rotations are carried on, and old keys destroyed, for every organization.
const KEY_ROTATION: Scope = Scope::System("a worker rotates the keys of every organization");
/// Partitions and the check of the master key belong to nobody.
const MAINTENANCE: Scope = Scope::System("maintenance of the installation");

/// The way to `clm_secure_db`.
#[derive(Clone, Debug)]
pub(crate) struct SecureStore {
    pool: Pool,
    issuances: GroupCommit<IssuanceWriter>,
}

impl SecureStore {
    /// A store on `pool`, which must be one of `clm_secure_db`.
    pub(crate) fn new(pool: Pool) -> Self {
        let issuances = GroupCommit::new(pool.clone(), IssuanceWriter);
        Self { pool, issuances }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub(crate) async fn ping(&self) -> Result<(), DatabaseError> {
        self.pool.ping().await
    }
}

/// Reads a stored word of a value set.
fn word<T>(column: &'static str, text: &str) -> Result<T, DatabaseError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| unknown(column, error))
}

/// Reads a stored value of a fixed length.
fn fixed<const N: usize>(column: &'static str, bytes: &[u8]) -> Result<[u8; N], DatabaseError> {
    bytes
        .try_into()
        .map_err(|_| unknown(column, format!("{} bytes", bytes.len())))
}

/// Reads a stored JSON value.
fn json<T: serde::de::DeserializeOwned>(
    column: &'static str,
    value: serde_json::Value,
) -> Result<T, DatabaseError> {
    serde_json::from_value(value).map_err(|error| unknown(column, error))
}

fn unknown(column: &'static str, message: impl Display) -> DatabaseError {
    DatabaseError::UnknownStoredValue {
        column,
        message: message.to_string(),
    }
}

/// The four columns of a sealed value, as they are read.
struct SealedColumns {
    table: &'static str,
    material: Option<Vec<u8>>,
    iv: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
    algorithm: Option<String>,
}

impl SealedColumns {
    fn into_sealed(self) -> Result<Sealed, DatabaseError> {
        let (Some(ciphertext), Some(nonce), Some(tag), Some(algorithm)) =
            (self.material, self.iv, self.tag, self.algorithm)
        else {
            return Err(unknown(self.table, "no sealed material"));
        };
        if algorithm != ALGORITHM {
            return Err(unknown(
                self.table,
                format!("sealing algorithm {algorithm}"),
            ));
        }
        Ok(Sealed {
            ciphertext,
            nonce: fixed(self.table, &nonce)?,
            tag: fixed(self.table, &tag)?,
        })
    }
}
