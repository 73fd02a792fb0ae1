//! Exporting a private key: opened, encrypted under the caller's passphrase, counted and audited
//! before it leaves.
//!
//! Only keys that were made here for an end entity leave. The key of a certificate authority never
//! does.

use std::sync::Arc;

use clm_domain::actor::Actor;
use clm_domain::audit::SecureEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN};
use clm_domain::secret::SecretString;
use clm_secure_api::command::ExportPrivateKey;
use clm_secure_api::reply::ExportedPrivateKey;
use clm_secure_api::{CallContext, Reply};
use serde_json::json;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::data_keys::Item;
use crate::error::Failure;
use crate::step_up::{SteppedUp, step_up_invalid};
use crate::store::private_keys::{Export, NotExported, StoredPrivateKey};

impl Secure {
    /// Carries out [`ExportPrivateKey`].
    pub(crate) async fn export_private_key(
        &self,
        context: &CallContext,
        command: ExportPrivateKey,
    ) -> Result<Reply, Failure> {
        let certificate_id = command.certificate_id;
        let failure = match self.export(context, command).await {
            Ok(exported) => return Ok(Reply::ExportedPrivateKey(exported)),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::PrivateKeyExported,
            resource_id: None,
            details: json!({ "certificate_id": certificate_id.to_string() }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn export(
        &self,
        context: &CallContext,
        command: ExportPrivateKey,
    ) -> Result<ExportedPrivateKey, Failure> {
        check_passphrase(&command.passphrase)?;
        let stepped_up = self.who_exports(context, &command)?;
        self.check_proof(&stepped_up).await?;
        let found = self
            .store
            .find_private_key_of_certificate(context.organization_id, command.certificate_id)
            .await?;
        let key = check_exportable(found)?;
        let place = (context.organization_id, Item::PrivateKey(key.id));
        let pkcs8_der = self
            .data_keys
            .open(place, key.encryption_key_id, &key.sealed)
            .await?;
        // Stretching the passphrase takes tenths of a second of computing.
        let passphrase = command.passphrase;
        let rng = Arc::clone(&self.rng);
        let encrypted = tokio::task::spawn_blocking(move || {
            clm_pki::pkcs8::encrypt(pkcs8_der.expose(), &passphrase, rng.as_ref())
        })
        .await
        .map_err(|error| Failure::Internal(error.to_string()))?
        .map_err(|error| Failure::Internal(error.to_string()))?;

        let now = whole_milliseconds(self.clock.now());
        let details = json!({
            "certificate_id": command.certificate_id.to_string(),
            "step_up": stepped_up.word(),
        });
        let stamp = Stamp {
            now,
            rng: self.rng.as_ref(),
        };
        let event = SecureEvent::PrivateKeyExported;
        let audit = row(
            event,
            &cause(context),
            Some(key.id.as_uuid()),
            details,
            stamp,
        );
        let named = (context.organization_id, key.id);
        let export = Export {
            exported_at: now,
            proof: stepped_up.proof().cloned(),
            audit,
        };
        let recorded = self.store.record_export(named, export).await;
        recorded.map_err(|refused| match refused {
            NotExported::Database(error) => Failure::from(error),
            NotExported::ProofInvalid => step_up_invalid().into(),
            NotExported::Gone => not_exportable().into(),
        })?;
        Ok(ExportedPrivateKey {
            private_key_id: key.id,
            encrypted_pkcs8_pem: SecretString::new(encrypted),
        })
    }
}

impl Secure {
    /// An API key needs no proof here: the core says which of them may.
    fn who_exports(
        &self,
        context: &CallContext,
        command: &ExportPrivateKey,
    ) -> Result<SteppedUp, Failure> {
        if matches!(context.actor, Actor::ApiKey { .. }) {
            return Ok(SteppedUp::ApiKey);
        }
        let about = (ExportPrivateKey::NAME, &command.certificate_id);
        self.stepped_up(context, command.proof.as_ref(), about)
    }
}

fn check_passphrase(passphrase: &SecretString) -> Result<(), Fault> {
    let text = passphrase.expose();
    if text.chars().count() >= PASSWORD_CHARACTERS_MIN && text.len() <= PASSWORD_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "The passphrase must have at least {PASSWORD_CHARACTERS_MIN} characters and at most \
         {PASSWORD_BYTES_MAX} bytes."
    );
    Err(Fault::invalid(
        "passphrase_unsuitable",
        "passphrase",
        message,
    ))
}

/// The key, when there is one and it may leave.
fn check_exportable(found: Option<Option<StoredPrivateKey>>) -> Result<StoredPrivateKey, Fault> {
    let key = found.ok_or_else(|| Fault::not_found("certificate"))?;
    let key = key.ok_or_else(|| {
        let message = "The platform does not hold the private key of this certificate; whoever \
            requested it does.";
        Fault::new(ErrorKind::Conflict, "private_key_not_held", message)
    })?;
    if key.is_issuer_key || !key.exportable {
        return Err(not_exportable());
    }
    Ok(key)
}

fn not_exportable() -> Fault {
    let message = "The private key of this certificate may not leave the platform.";
    Fault::new(
        ErrorKind::PolicyViolation,
        "private_key_not_exportable",
        message,
    )
}

#[cfg(test)]
mod tests;
