//! The master key, for the operator of the host where a Secure Service has a process of its own: without
//! a core, its database or its users. Shares that are given here pass through no process that faces the
//! network. Whoever comes this far is the operator; the Secure Service records each act.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::clock::{Clock, Rng};
use clm_domain::ids::{RequestId, SYSTEM_ORGANIZATION};
use clm_domain::secret::SecretString;
use clm_secure_api::command::{
    ConfirmMasterKeyBackup, LoadMasterKey, LoadSealStatus, MakeMasterKeyShares, ResetUnseal,
    RotateMasterKey, Seal, Unseal,
};
use clm_secure_api::{CallContext, Caller, SecureClient};

use crate::error::Result;
use crate::health::{self, Check};
use crate::master_key::{KeyRotation, MasterKey, MasterKeyShares, NewMasterKey, SealStatus};

/// How long an act may take.
const ACT_TIMEOUT: TimeDelta = TimeDelta::seconds(60);

/// What the operators of a host can do.
pub struct Operators {
    secure: SecureClient,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// One of them, by the user that the operating system vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user.
    pub uid: u32,
    /// The request.
    pub request_id: RequestId,
}

impl Operators {
    /// On a Secure Service in this process.
    pub fn new(secure: SecureClient, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { secure, clock, rng }
    }

    fn call(&self, operator: Operator) -> CallContext {
        CallContext {
            caller: Caller::Operator,
            actor: Actor::LocalOperator { uid: operator.uid },
            organization_id: SYSTEM_ORGANIZATION,
            request_id: operator.request_id,
            idempotency_key: None,
            deadline: self.clock.now() + ACT_TIMEOUT,
        }
    }

    /// A new id for a request.
    pub fn request_id(&self) -> RequestId {
        RequestId::generate(self.clock.now(), self.rng.as_ref())
    }

    /// Checks the Secure Service.
    pub async fn check(&self) -> Vec<Check> {
        let request_id = self.request_id();
        let call = CallContext {
            actor: Actor::System,
            ..self.call(Operator { uid: 0, request_id })
        };
        health::secure_service(&self.secure, call).await
    }

    /// The master key in force.
    ///
    /// # Errors
    /// Those of the Secure Service, as of all that follow.
    pub async fn load(&self, operator: Operator) -> Result<MasterKey> {
        let call = self.call(operator);
        Ok(self.secure.load_master_key(call, LoadMasterKey {}).await?)
    }

    /// See [`crate::master_key::make_shares`].
    ///
    /// # Errors
    /// See there.
    pub async fn make_shares(
        &self,
        operator: Operator,
        (threshold, shares): (u8, u8),
    ) -> Result<MasterKeyShares> {
        let command = MakeMasterKeyShares { threshold, shares };
        let call = self.call(operator);
        Ok(self.secure.make_master_key_shares(call, command).await?)
    }

    /// See [`crate::master_key::rotate`].
    ///
    /// # Errors
    /// See there.
    pub async fn rotate(&self, operator: Operator, new: NewMasterKey) -> Result<KeyRotation> {
        let call = self.call(operator);
        let command = RotateMasterKey::from(new);
        Ok(self.secure.rotate_master_key(call, command).await?)
    }

    /// See [`crate::master_key::confirm_backup`].
    ///
    /// # Errors
    /// See there.
    pub async fn confirm_backup(
        &self,
        operator: Operator,
        check_value: Option<[u8; 32]>,
    ) -> Result<MasterKey> {
        let call = self.call(operator);
        let command = ConfirmMasterKeyBackup { check_value };
        Ok(self.secure.confirm_master_key_backup(call, command).await?)
    }

    /// Whether the master key is sealed.
    ///
    /// # Errors
    /// Those of the Secure Service.
    pub async fn seal_status(&self, operator: Operator) -> Result<SealStatus> {
        let call = self.call(operator);
        Ok(self
            .secure
            .load_seal_status(call, LoadSealStatus {})
            .await?)
    }

    /// Gives one share.
    ///
    /// # Errors
    /// See [`crate::master_key::unseal`].
    pub async fn unseal(&self, operator: Operator, share: SecretString) -> Result<SealStatus> {
        let call = self.call(operator);
        Ok(self.secure.unseal(call, Unseal { share }).await?)
    }

    /// Forgets the shares that were given.
    ///
    /// # Errors
    /// Those of the Secure Service.
    pub async fn reset_unseal(&self, operator: Operator) -> Result<SealStatus> {
        let call = self.call(operator);
        Ok(self.secure.reset_unseal(call, ResetUnseal {}).await?)
    }

    /// See [`crate::master_key::seal`].
    ///
    /// # Errors
    /// See there.
    pub async fn seal(&self, operator: Operator, force: bool) -> Result<SealStatus> {
        let call = self.call(operator);
        Ok(self.secure.seal(call, Seal { force }).await?)
    }
}
