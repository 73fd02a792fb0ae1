//! Typed calls on top of [`SecureService::call`].

use std::sync::Arc;

use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SealedSecretId;

use crate::command::{
    AcknowledgeEvents, ActivateTotp, CancelKeyRotation, ChangeIssuerLimits, CheckHealth, Command,
    ConfirmMasterKeyBackup, CreateCertificateAuthority, DestroySecret, EnrolTotp,
    EraseOrganizationKeys, ExportPrivateKey, FindIssued, FindSecondFactor, IssueCertificate,
    ListCertificateAuthorities, ListCertificateRequests, ListCertificateStates, ListEncryptionKeys,
    ListExposedKeys, ListExposedSecrets, ListKeyRotations, LoadCertificate,
    LoadCertificateAuthority, LoadCertificateRequest, LoadEncryptionKey, LoadKeyRotation,
    LoadMasterKey, LoadSealStatus, MakeMasterKeyShares, OpenSecret, PullEvents, RemoveTotp,
    RenewBackupCodes, ResetTotp, ResetUnseal, RotateMasterKey, Seal, SealSecret,
    SetKeyRotationSchedule, SignWebhook, StartKeyRotation, StepUp, Unseal, VerifyTotp,
};
use crate::event::Event;
use crate::reply::{
    BackupCodes, Certificate, CertificateAuthority, CertificateRequest, CertificateState, Done,
    EncryptionKey, ExportedPrivateKey, ExposedKey, ExposedSecret, Health, Issued, KeyRotation,
    MasterKey, MasterKeyShares, OpenedSecret, Reply, SealStatus, SecondFactorStatus, StepUpProof,
    TotpEnrolment,
};
use crate::wire;
use crate::{CallContext, SecureError, SecureService};

/// A handle on the Secure Service.
#[derive(Clone)]
pub struct SecureClient {
    service: Arc<dyn SecureService>,
}

macro_rules! typed_calls {
    ($($(#[$doc:meta])* $method:ident($argument:ident) via $wrap:expr => $variant:ident($value:ident) -> $output:ty, $take:expr;)+) => {
        impl SecureClient {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`SecureError`].
            pub async fn $method(
                &self,
                context: CallContext,
                command: $argument,
            ) -> Result<$output, SecureError> {
                match self.call(context, $wrap(command)).await? {
                    Reply::$variant($value) => Ok($take),
                    other => Err(unexpected(other.name())),
                }
            }
        )+}
    };
}

typed_calls! {
    /// See [`CheckHealth`].
    check_health(CheckHealth) via Command::CheckHealth => Health(value) -> Health, value;
    /// See [`CreateCertificateAuthority`].
    create_certificate_authority(CreateCertificateAuthority)
        via |command| Command::CreateCertificateAuthority(Box::new(command))
        => CertificateAuthority(value) -> CertificateAuthority, *value;
    /// See [`ListCertificateAuthorities`].
    list_certificate_authorities(ListCertificateAuthorities)
        via Command::ListCertificateAuthorities
        => CertificateAuthorities(value) -> Vec<CertificateAuthority>, value;
    /// See [`LoadCertificateAuthority`].
    load_certificate_authority(LoadCertificateAuthority)
        via Command::LoadCertificateAuthority
        => CertificateAuthority(value) -> CertificateAuthority, *value;
    /// See [`IssueCertificate`].
    issue_certificate(IssueCertificate)
        via |command| Command::IssueCertificate(Box::new(command)) => Issued(value) -> Issued, *value;
    /// See [`FindIssued`].
    find_issued(FindIssued)
        via Command::FindIssued => FoundIssued(value) -> Option<Issued>, value.map(|found| *found);
    /// See [`ListCertificateRequests`].
    list_certificate_requests(ListCertificateRequests)
        via Command::ListCertificateRequests
        => CertificateRequests(value) -> Vec<CertificateRequest>, value;
    /// See [`LoadCertificateRequest`].
    load_certificate_request(LoadCertificateRequest)
        via Command::LoadCertificateRequest
        => CertificateRequest(value) -> CertificateRequest, *value;
    /// See [`LoadCertificate`].
    load_certificate(LoadCertificate)
        via Command::LoadCertificate => Certificate(value) -> Certificate, *value;
    /// See [`ExportPrivateKey`].
    export_private_key(ExportPrivateKey)
        via Command::ExportPrivateKey => ExportedPrivateKey(value) -> ExportedPrivateKey, value;
    /// See [`ListEncryptionKeys`].
    list_encryption_keys(ListEncryptionKeys)
        via Command::ListEncryptionKeys => EncryptionKeys(value) -> Vec<EncryptionKey>, value;
    /// See [`LoadEncryptionKey`].
    load_encryption_key(LoadEncryptionKey)
        via Command::LoadEncryptionKey => EncryptionKey(value) -> EncryptionKey, *value;
    /// See [`StartKeyRotation`].
    start_key_rotation(StartKeyRotation)
        via Command::StartKeyRotation => KeyRotation(value) -> KeyRotation, *value;
    /// See [`ListKeyRotations`].
    list_key_rotations(ListKeyRotations)
        via Command::ListKeyRotations => KeyRotations(value) -> Vec<KeyRotation>, value;
    /// See [`LoadKeyRotation`].
    load_key_rotation(LoadKeyRotation)
        via Command::LoadKeyRotation => KeyRotation(value) -> KeyRotation, *value;
    /// See [`CancelKeyRotation`].
    cancel_key_rotation(CancelKeyRotation)
        via Command::CancelKeyRotation => KeyRotation(value) -> KeyRotation, *value;
    /// See [`ListExposedKeys`].
    list_exposed_keys(ListExposedKeys)
        via Command::ListExposedKeys => ExposedKeys(value) -> Vec<ExposedKey>, value;
    /// See [`ListExposedSecrets`].
    list_exposed_secrets(ListExposedSecrets)
        via Command::ListExposedSecrets => ExposedSecrets(value) -> Vec<ExposedSecret>, value;
    /// See [`SetKeyRotationSchedule`].
    set_key_rotation_schedule(SetKeyRotationSchedule)
        via Command::SetKeyRotationSchedule => EncryptionKey(value) -> EncryptionKey, *value;
    /// See [`EraseOrganizationKeys`].
    erase_organization_keys(EraseOrganizationKeys)
        via Command::EraseOrganizationKeys => ErasedKeys(value) -> u64, value;
    /// See [`LoadMasterKey`].
    load_master_key(LoadMasterKey)
        via Command::LoadMasterKey => MasterKey(value) -> MasterKey, *value;
    /// See [`MakeMasterKeyShares`].
    make_master_key_shares(MakeMasterKeyShares)
        via Command::MakeMasterKeyShares => MasterKeyShares(value) -> MasterKeyShares, *value;
    /// See [`RotateMasterKey`].
    rotate_master_key(RotateMasterKey)
        via Command::RotateMasterKey => KeyRotation(value) -> KeyRotation, *value;
    /// See [`ConfirmMasterKeyBackup`].
    confirm_master_key_backup(ConfirmMasterKeyBackup)
        via Command::ConfirmMasterKeyBackup => MasterKey(value) -> MasterKey, *value;
    /// See [`LoadSealStatus`].
    load_seal_status(LoadSealStatus)
        via Command::LoadSealStatus => SealStatus(value) -> SealStatus, value;
    /// See [`Unseal`].
    unseal(Unseal) via Command::Unseal => SealStatus(value) -> SealStatus, value;
    /// See [`ResetUnseal`].
    reset_unseal(ResetUnseal) via Command::ResetUnseal => SealStatus(value) -> SealStatus, value;
    /// See [`Seal`].
    seal(Seal) via Command::Seal => SealStatus(value) -> SealStatus, value;
    /// See [`PullEvents`].
    pull_events(PullEvents) via Command::PullEvents => Events(value) -> Vec<Event>, value;
    /// See [`SealSecret`].
    seal_secret(SealSecret)
        via Command::SealSecret => SealedSecret(value) -> SealedSecretId, value;
    /// See [`OpenSecret`].
    open_secret(OpenSecret)
        via Command::OpenSecret => OpenedSecret(value) -> OpenedSecret, value;
    /// See [`SignWebhook`].
    sign_webhook(SignWebhook)
        via Command::SignWebhook => WebhookSignature(value) -> String, value;
    /// See [`DestroySecret`].
    destroy_secret(DestroySecret) via Command::DestroySecret => Done(value) -> Done, value;
    /// See [`EnrolTotp`].
    enrol_totp(EnrolTotp)
        via Command::EnrolTotp => TotpEnrolment(value) -> TotpEnrolment, value;
    /// See [`ActivateTotp`].
    activate_totp(ActivateTotp)
        via Command::ActivateTotp => BackupCodes(value) -> BackupCodes, value;
    /// See [`FindSecondFactor`].
    find_second_factor(FindSecondFactor)
        via Command::FindSecondFactor => SecondFactor(value) -> SecondFactorStatus, value;
    /// See [`RenewBackupCodes`].
    renew_backup_codes(RenewBackupCodes)
        via Command::RenewBackupCodes => BackupCodes(value) -> BackupCodes, value;
    /// See [`VerifyTotp`].
    verify_totp(VerifyTotp) via Command::VerifyTotp => Done(value) -> Done, value;
    /// See [`RemoveTotp`].
    remove_totp(RemoveTotp) via Command::RemoveTotp => Done(value) -> Done, value;
    /// See [`ResetTotp`].
    reset_totp(ResetTotp) via Command::ResetTotp => Done(value) -> Done, value;
    /// See [`StepUp`].
    step_up(StepUp) via Command::StepUp => StepUpProof(value) -> StepUpProof, value;
    /// See [`ChangeIssuerLimits`].
    change_issuer_limits(ChangeIssuerLimits)
        via |command| Command::ChangeIssuerLimits(Box::new(command))
        => CertificateAuthority(value) -> CertificateAuthority, *value;
    /// See [`AcknowledgeEvents`].
    acknowledge_events(AcknowledgeEvents)
        via Command::AcknowledgeEvents => Acknowledged(value) -> u64, value;
    /// See [`ListCertificateStates`].
    list_certificate_states(ListCertificateStates)
        via Command::ListCertificateStates
        => CertificateStates(value) -> Vec<CertificateState>, value;
}

impl SecureClient {
    /// A client of `service`.
    pub fn new(service: Arc<dyn SecureService>) -> Self {
        Self { service }
    }

    /// Carries out one command. Debug builds send it through [`wire`] both ways, so that the remote
    /// form cannot rot.
    async fn call(&self, context: CallContext, command: Command) -> Result<Reply, SecureError> {
        if !cfg!(debug_assertions) {
            return self.service.call(context, command).await;
        }
        let (context, command) = through_wire(&(context, command))?;
        through_wire(&self.service.call(context, command).await)?
    }
}

fn through_wire<T: serde::Serialize + serde::de::DeserializeOwned>(
    message: &T,
) -> Result<T, SecureError> {
    wire::encode(message)
        .and_then(|bytes| wire::decode(&bytes))
        .map_err(|error| {
            Fault::new(ErrorKind::Internal, "contract_broken", error.to_string()).into()
        })
}

fn unexpected(found: &str) -> SecureError {
    Fault::new(
        ErrorKind::Internal,
        "contract_broken",
        format!("The Secure Service answered with '{found}', which does not fit the command."),
    )
    .into()
}
