//! Where wrong passwords of a user are counted: at the user, or at an address from which the user has
//! signed in of late. So whoever guesses from elsewhere cannot keep the user out.

use std::net::IpAddr;

use chrono::{DateTime, Duration, Utc};
use clm_domain::ids::UserId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::locked_until;
use crate::authentication::throttle::network_of;
use crate::store::known_sign_in_addresses::{self as known_addresses, KnownAddress};
use crate::store::users::{self, PasswordState};

/// For so long after a sign-in an address is known.
const KNOWN_FOR: Duration = Duration::days(30);
/// Most addresses that are known of one user.
const KNOWN_ADDRESSES_MAX: i64 = 20;

/// One attempt to sign in as a user, under the lock of the user's row.
pub(crate) struct Guess {
    user_id: UserId,
    address_sha256: Option<[u8; 32]>,
    /// The address, if it is known.
    known: Option<KnownAddress>,
}

impl Guess {
    /// An attempt from an address, which is none for the local socket.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn find(
        connection: &mut PgConnection,
        user_id: UserId,
        address: Option<&str>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Self> {
        let address_sha256 = network_of(address).map(|network| hash(user_id, network));
        let known = match &address_sha256 {
            Some(hash) => {
                known_addresses::find(connection, user_id, (hash, now - KNOWN_FOR)).await?
            }
            None => None,
        };
        Ok(Self {
            user_id,
            address_sha256,
            known,
        })
    }

    /// The state with the failures, and the lock that they caused, which count for this attempt.
    pub(crate) fn judged_by(&self, state: PasswordState) -> PasswordState {
        match self.known {
            None => state,
            Some(known) => PasswordState {
                failed_sign_in_count: known.failed_sign_in_count,
                locked_until: known.locked_until,
                ..state
            },
        }
    }

    /// Counts a wrong password; `state` is that of [`Self::judged_by`].
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn failed(
        &self,
        connection: &mut PgConnection,
        state: &PasswordState,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let count = state.failed_sign_in_count.saturating_add(1);
        let until = locked_until(count, now);
        match self.known {
            Some(known) => {
                known_addresses::update_failed_sign_in(connection, known.id, count, until).await
            }
            None => users::update_failed_sign_in(connection, self.user_id, count, until).await,
        }
    }

    /// Notes a success. From a known address it says nothing about who failed elsewhere.
    ///
    /// # Errors
    /// Those of the statements.
    pub(crate) async fn succeeded(
        &self,
        connection: &mut PgConnection,
        state: &PasswordState,
        (fresh_id, now): (Uuid, DateTime<Utc>),
    ) -> sqlx::Result<()> {
        let user_id = self.user_id;
        users::update_sign_in(connection, user_id, now, self.known.is_none()).await?;
        let Some(address_sha256) = &self.address_sha256 else {
            return Ok(());
        };
        let owner = (user_id, state.home_organization_id);
        known_addresses::remember(connection, owner, address_sha256, (fresh_id, now)).await?;
        known_addresses::forget_older(connection, user_id, KNOWN_ADDRESSES_MAX).await
    }
}

/// What is stored of an address: bound to the user.
fn hash(user_id: UserId, network: IpAddr) -> [u8; 32] {
    let octets = match network {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    Sha256::new()
        .chain_update("clm known sign-in address\0")
        .chain_update(user_id.as_uuid().as_bytes())
        .chain_update(octets)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests;
