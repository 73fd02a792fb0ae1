//! The one way in: each command is admitted, carried out, measured, and its failure turned into a
//! fault.
//!
//! Start with [`may_call`], the list of what each caller may do.

use std::time::Instant;

use async_trait::async_trait;
use clm_domain::actor::Actor;
use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault};
use clm_secure_api::{CallContext, Caller, Command, Reply, SecureError, SecureService};
use serde_json::json;

use crate::Secure;
use crate::audit::RefusedAct;
use crate::error::Failure;
use crate::in_force::sealed;

#[async_trait]
impl SecureService for Secure {
    async fn call(&self, context: CallContext, command: Command) -> Result<Reply, SecureError> {
        let name = command.name();
        let begun = Instant::now();
        let outcome = match self.admit(&context, &command).await {
            Ok(()) if self.is_sealed() && !command.works_sealed() => {
                self.forget_keys();
                // Not audited, like whatever comes while the database is away.
                Err(sealed(&self.master_keys.status(self.clock.now())).into())
            }
            Ok(()) => self.carry_out(&context, command).await,
            Err(failure) => Err(failure),
        };
        let outcome = outcome.map_err(|failure| failure.into_fault(name));
        let word = outcome
            .as_ref()
            .map_or_else(|fault| outcome_word(fault.kind), |_| "done");
        metrics::counter!("clm_secure_commands_total", "command" => name, "outcome" => word)
            .increment(1);
        metrics::histogram!("clm_secure_command_seconds", "command" => name)
            .record(begun.elapsed().as_secs_f64());
        outcome.map_err(SecureError::from)
    }
}

impl Secure {
    /// Whether the command may be begun at all.
    async fn admit(&self, context: &CallContext, command: &Command) -> Result<(), Failure> {
        if self.clock.now() > context.deadline {
            // Not audited: nothing was decided, and under overload this is what keeps the service
            // alive.
            let message =
                "The time for this command was over before it began. Nothing was done; try again.";
            return Err(Fault::new(ErrorKind::Upstream, "deadline_passed", message).into());
        }
        let Err(fault) = judge_caller(context, command) else {
            return Ok(());
        };
        let caller = caller_word(context.caller);
        let act = RefusedAct {
            event: SecureEvent::CommandRefused,
            resource_id: None,
            details: json!({ "command": command.name(), "caller": caller }),
        };
        self.record_refusal(context, act, &fault).await?;
        Err(fault.into())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    async fn carry_out(&self, context: &CallContext, command: Command) -> Result<Reply, Failure> {
        match command {
            Command::CheckHealth(_) => Ok(self.check_health().await),
            Command::CreateCertificateAuthority(command) => {
                self.create_certificate_authority(context, *command).await
            }
            Command::ListCertificateAuthorities(command) => {
                self.list_certificate_authorities(context, command).await
            }
            Command::LoadCertificateAuthority(command) => {
                self.load_certificate_authority(context, command).await
            }
            Command::IssueCertificate(command) => self.issue_certificate(context, *command).await,
            Command::FindIssued(_) => self.find_issued(context).await,
            Command::ListCertificateRequests(command) => {
                self.list_certificate_requests(context, command).await
            }
            Command::LoadCertificateRequest(command) => {
                self.load_certificate_request(context, command).await
            }
            Command::LoadCertificate(command) => self.load_certificate(context, command).await,
            Command::ExportPrivateKey(command) => self.export_private_key(context, command).await,
            Command::ListEncryptionKeys(command) => {
                self.list_encryption_keys(context, command).await
            }
            Command::LoadEncryptionKey(command) => self.load_encryption_key(context, command).await,
            Command::StartKeyRotation(command) => self.start_key_rotation(context, command).await,
            Command::ListKeyRotations(command) => self.list_key_rotations(context, command).await,
            Command::LoadKeyRotation(command) => self.load_key_rotation(context, command).await,
            Command::CancelKeyRotation(command) => self.cancel_key_rotation(context, command).await,
            Command::ListExposedKeys(command) => self.list_exposed_keys(context, command).await,
            Command::ListExposedSecrets(command) => {
                self.list_exposed_secrets(context, command).await
            }
            Command::SetKeyRotationSchedule(command) => {
                self.set_key_rotation_schedule(context, command).await
            }
            Command::EraseOrganizationKeys(command) => {
                self.erase_organization_keys(context, command).await
            }
            Command::LoadMasterKey(_) => self.load_master_key().await,
            Command::MakeMasterKeyShares(command) => {
                self.make_master_key_shares(context, command).await
            }
            Command::RotateMasterKey(command) => self.rotate_master_key(context, command).await,
            Command::ConfirmMasterKeyBackup(command) => {
                self.confirm_master_key_backup(context, command).await
            }
            Command::LoadSealStatus(_) => Ok(self.load_seal_status()),
            Command::Unseal(command) => self.unseal(context, command).await,
            Command::ResetUnseal(_) => self.reset_unseal(context).await,
            Command::Seal(command) => self.seal(context, command).await,
            Command::SealSecret(command) => self.seal_secret(context, command).await,
            Command::OpenSecret(command) => self.open_secret(context, command).await,
            Command::SignWebhook(command) => self.sign_webhook(context, command).await,
            Command::DestroySecret(command) => self.destroy_secret(context, command).await,
            Command::EnrolTotp(command) => self.enrol_totp(context, command).await,
            Command::ActivateTotp(command) => self.activate_totp(context, command).await,
            Command::VerifyTotp(command) => self.verify_totp(context, command).await,
            Command::FindSecondFactor(command) => self.find_second_factor(context, command).await,
            Command::RenewBackupCodes(command) => self.renew_backup_codes(context, command).await,
            Command::RemoveTotp(command) => self.remove_totp(context, command).await,
            Command::ResetTotp(command) => self.reset_totp(context, command).await,
            Command::StepUp(command) => self.step_up(context, command).await,
            Command::ChangeIssuerLimits(command) => {
                self.change_issuer_limits(context, *command).await
            }
            Command::PullEvents(command) => self.pull_events(command).await,
            Command::AcknowledgeEvents(command) => self.acknowledge_events(command).await,
            Command::ListCertificateStates(command) => self.list_certificate_states(command).await,
        }
    }
}

/// What each caller may do. The bootstrap makes the first certificate authorities and looks at
/// them, and the operator looks after the master key; nothing else.
const fn may_call(caller: Caller, command: &Command) -> bool {
    match caller {
        Caller::Core => matches!(
            command,
            Command::CheckHealth(_)
                | Command::CreateCertificateAuthority(_)
                | Command::ListCertificateAuthorities(_)
                | Command::LoadCertificateAuthority(_)
                | Command::IssueCertificate(_)
                | Command::FindIssued(_)
                | Command::ListCertificateRequests(_)
                | Command::LoadCertificateRequest(_)
                | Command::LoadCertificate(_)
                | Command::ExportPrivateKey(_)
                | Command::ListEncryptionKeys(_)
                | Command::LoadEncryptionKey(_)
                | Command::StartKeyRotation(_)
                | Command::ListKeyRotations(_)
                | Command::LoadKeyRotation(_)
                | Command::CancelKeyRotation(_)
                | Command::ListExposedKeys(_)
                | Command::ListExposedSecrets(_)
                | Command::SetKeyRotationSchedule(_)
                | Command::EraseOrganizationKeys(_)
                | Command::LoadMasterKey(_)
                | Command::MakeMasterKeyShares(_)
                | Command::RotateMasterKey(_)
                | Command::ConfirmMasterKeyBackup(_)
                | Command::LoadSealStatus(_)
                | Command::Unseal(_)
                | Command::ResetUnseal(_)
                | Command::Seal(_)
                | Command::SealSecret(_)
                | Command::OpenSecret(_)
                | Command::SignWebhook(_)
                | Command::DestroySecret(_)
                | Command::EnrolTotp(_)
                | Command::ActivateTotp(_)
                | Command::VerifyTotp(_)
                | Command::FindSecondFactor(_)
                | Command::RenewBackupCodes(_)
                | Command::RemoveTotp(_)
                | Command::ResetTotp(_)
                | Command::StepUp(_)
                | Command::ChangeIssuerLimits(_)
                | Command::PullEvents(_)
                | Command::AcknowledgeEvents(_)
                | Command::ListCertificateStates(_)
        ),
        Caller::Bootstrap => matches!(
            command,
            Command::CheckHealth(_)
                | Command::CreateCertificateAuthority(_)
                | Command::ListCertificateAuthorities(_)
                | Command::LoadCertificateAuthority(_)
        ),
        Caller::Operator => matches!(
            command,
            Command::CheckHealth(_)
                | Command::LoadMasterKey(_)
                | Command::MakeMasterKeyShares(_)
                | Command::RotateMasterKey(_)
                | Command::ConfirmMasterKeyBackup(_)
                | Command::LoadSealStatus(_)
                | Command::Unseal(_)
                | Command::ResetUnseal(_)
                | Command::Seal(_)
        ),
    }
}

fn judge_caller(context: &CallContext, command: &Command) -> Result<(), Fault> {
    if !may_call(context.caller, command) {
        let message = format!(
            "The caller '{}' may not give the command '{}'.",
            caller_word(context.caller),
            command.name()
        );
        return Err(Fault::new(
            ErrorKind::Forbidden,
            "command_not_permitted",
            message,
        ));
    }
    if command.is_mutating() && matches!(context.actor, Actor::Anonymous) {
        let message = "A command that changes something needs to say on whose behalf it is given.";
        return Err(Fault::new(ErrorKind::Forbidden, "actor_unknown", message));
    }
    Ok(())
}

const fn caller_word(caller: Caller) -> &'static str {
    match caller {
        Caller::Core => "core",
        Caller::Bootstrap => "bootstrap",
        Caller::Operator => "operator",
    }
}

const fn outcome_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Forbidden => "forbidden",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::PolicyViolation => "policy_violation",
        ErrorKind::ApprovalRequired => "approval_required",
        ErrorKind::KeyUnavailable => "key_unavailable",
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::Upstream => "upstream",
        ErrorKind::Internal => "internal",
    }
}

#[cfg(test)]
mod tests;
