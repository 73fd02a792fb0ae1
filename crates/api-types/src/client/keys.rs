//! Calls about encryption keys and their rotation.

use reqwest::Method;

use super::{Client, ClientError, read, segment};
use crate::encryption_keys::{
    EncryptionKey, EncryptionKeysErase, EncryptionKeysErased, KeyRotationSchedule,
};
use crate::key_rotations::{ExposedKey, ExposedSecret, KeyRotation, KeyRotationCreate};
use crate::page::{Page, PageQuery};

impl Client {
    /// Encryption keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_encryption_keys(
        &self,
        page: &PageQuery,
    ) -> Result<Page<EncryptionKey>, ClientError> {
        self.list("/encryption-keys", page).await
    }

    /// One encryption key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_encryption_key(&self, id: &str) -> Result<EncryptionKey, ClientError> {
        self.read(&format!("/encryption-keys/{}", segment(id)))
            .await
    }

    /// Says how often the data key is rotated.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_key_rotation_schedule(
        &self,
        schedule: &KeyRotationSchedule,
    ) -> Result<EncryptionKey, ClientError> {
        let path = "/key-rotation-schedule";
        read(self.send(Method::PUT, path, Some(schedule), None).await?).await
    }

    /// Destroys every data key of the organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase_encryption_keys(
        &self,
        request: &EncryptionKeysErase,
    ) -> Result<EncryptionKeysErased, ClientError> {
        let path = "/encryption-keys/erase";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Starts a rotation. Repeats on retriable answers: the key makes that safe.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_key_rotation(
        &self,
        request: &KeyRotationCreate,
        idempotency_key: &str,
    ) -> Result<KeyRotation, ClientError> {
        self.create("/key-rotations", request, idempotency_key)
            .await
    }

    /// Rotations.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_key_rotations(
        &self,
        page: &PageQuery,
    ) -> Result<Page<KeyRotation>, ClientError> {
        self.list("/key-rotations", page).await
    }

    /// One rotation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_key_rotation(&self, id: &str) -> Result<KeyRotation, ClientError> {
        self.read(&format!("/key-rotations/{}", segment(id))).await
    }

    /// Rolls a running rotation back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_key_rotation(&self, id: &str) -> Result<KeyRotation, ClientError> {
        let path = format!("/key-rotations/{}/cancel", segment(id));
        read(self.send(Method::POST, &path, super::NO_BODY, None).await?).await
    }

    /// Private keys that a compromise exposed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_exposed_keys(
        &self,
        id: &str,
        page: &PageQuery,
    ) -> Result<Page<ExposedKey>, ClientError> {
        self.list(
            &format!("/key-rotations/{}/exposed-keys", segment(id)),
            page,
        )
        .await
    }

    /// Secrets that a compromise exposed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_exposed_secrets(
        &self,
        id: &str,
        page: &PageQuery,
    ) -> Result<Page<ExposedSecret>, ClientError> {
        let path = format!("/key-rotations/{}/exposed-secrets", segment(id));
        self.list(&path, page).await
    }
}
