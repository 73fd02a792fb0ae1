//! Calls about the master key and its seal. None of them is repeated by itself but those that only look.

use reqwest::Method;

use super::{Client, ClientError, NO_BODY, read};
use crate::key_rotations::KeyRotation;
use crate::master_key::{
    MasterKey, MasterKeyBackupConfirm, MasterKeyRotationCreate, MasterKeyShares,
    MasterKeySharesCreate, SealRequest, SealStatus, UnsealShare,
};

impl Client {
    /// The master key in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_master_key(&self) -> Result<MasterKey, ClientError> {
        self.read("/master-key").await
    }

    /// Shares of a master key that may come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_master_key_shares(
        &self,
        request: &MasterKeySharesCreate,
    ) -> Result<MasterKeyShares, ClientError> {
        let path = "/master-key/shares";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Replaces the master key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_master_key(
        &self,
        request: &MasterKeyRotationCreate,
    ) -> Result<KeyRotation, ClientError> {
        let path = "/master-key/rotations";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Proves that a copy of the master key exists.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirm_master_key_backup(
        &self,
        request: &MasterKeyBackupConfirm,
    ) -> Result<MasterKey, ClientError> {
        let path = "/master-key/backup-confirmation";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Whether the master key is sealed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_seal_status(&self) -> Result<SealStatus, ClientError> {
        self.read("/seal-status").await
    }

    /// Gives a share.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unseal(&self, share: String) -> Result<SealStatus, ClientError> {
        let request = UnsealShare { share };
        read(
            self.send(Method::POST, "/unseal", Some(&request), None)
                .await?,
        )
        .await
    }

    /// Forgets the shares that were given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reset_unseal(&self) -> Result<SealStatus, ClientError> {
        read(self.send(Method::DELETE, "/unseal", NO_BODY, None).await?).await
    }

    /// Takes the master key out of the server's memory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn seal(&self, request: &SealRequest) -> Result<SealStatus, ClientError> {
        read(
            self.send(Method::POST, "/seal", Some(request), None)
                .await?,
        )
        .await
    }
}
