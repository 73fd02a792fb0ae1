//! What these tests work with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{CertificatePlan, extended_key_usage};
use clm_domain::clock::{Clock as _, Rng, random_bytes};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, IssuerId, OrganizationId, RequestId, SYSTEM_ORGANIZATION,
};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::{
    CertificateType, EncryptionKeyStatus, KeyRotationType, MasterKeyProviderKind,
};
use clm_pki::name::from_rfc4514;
use clm_secure::{DATA_KEY_SEALS_MAX, MasterKeySources, Secure, SecureOptions};
use clm_secure_api::command::{
    CreateCertificateAuthority, ExportPrivateKey, IssuanceContext, IssueCertificate, KeySource,
    LoadMasterKey, MakeMasterKeyShares, RotateMasterKey, Seal, Unseal,
};
use clm_secure_api::reply::{KeyRotation, MasterKey, SealStatus};
use clm_secure_api::{CallContext, Caller, SecureClient, SecureError};
use clm_test_support::{ManualClock, SeededRng, TestCluster};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

/// The Secure Service on a database of its own.
pub(super) struct Bench {
    pub(super) client: SecureClient,
    pub(super) admin: PgPool,
    pub(super) clock: Arc<ManualClock>,
    /// Where the next process looks for its master key.
    pub(super) sources: MasterKeySources,
    secure: Arc<Secure>,
    connect: PgConnectOptions,
    rng: Arc<SeededRng>,
    issuers: std::sync::Mutex<BTreeMap<OrganizationId, IssuerId>>,
    issued: std::sync::Mutex<Vec<(OrganizationId, CertificateId)>>,
    cluster: TestCluster,
}

impl Bench {
    pub(super) async fn start() -> Self {
        let cluster = TestCluster::start().await;
        let (connect, _) = cluster.init(Database::Secure).await;
        let admin = PgPool::connect_lazy_with(cluster.admin("clm_secure_db"));
        let now: DateTime<Utc> = sqlx::query_scalar("SELECT now()")
            .fetch_one(&admin)
            .await
            .unwrap();
        let folder = cluster.directory().join("keys");
        std::fs::create_dir(&folder).unwrap();
        let sources = MasterKeySources::file(folder.join("master.key"));
        let clock = Arc::new(ManualClock::at(now));
        let rng = Arc::new(SeededRng::new(23));
        let secure = open(&connect, &sources, (&clock, &rng)).await.unwrap();
        secure.ensure_audit_partitions().await.unwrap();
        Self {
            client: SecureClient::new(Arc::clone(&secure) as _),
            admin,
            clock,
            sources,
            secure,
            connect,
            rng,
            issuers: std::sync::Mutex::default(),
            issued: std::sync::Mutex::default(),
            cluster,
        }
    }

    pub(super) fn secure(&self) -> &Arc<Secure> {
        &self.secure
    }

    /// A pool of the program's own role.
    pub(super) fn pool(&self) -> Pool {
        let options = PoolOptions::default();
        Pool::new(Database::Secure, self.connect.clone(), &options)
    }

    /// A file in the folder of the master keys.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.cluster.directory().join("keys").join(name)
    }

    /// The process ends, and another one starts.
    pub(super) async fn restart(&mut self) {
        self.try_restart().await.unwrap();
    }

    /// The same; a refusal is returned as text, and the old process goes on.
    pub(super) async fn try_restart(&mut self) -> Result<(), String> {
        self.secure = self.another().await?;
        self.client = SecureClient::new(Arc::clone(&self.secure) as _);
        Ok(())
    }

    /// Another process beside this one.
    pub(super) async fn another(&self) -> Result<Arc<Secure>, String> {
        let seed = u64::from_be_bytes(random_bytes(&*self.rng));
        let rng = Arc::new(SeededRng::new(seed));
        open(&self.connect, &self.sources, (&self.clock, &rng)).await
    }

    pub(super) fn context(&self) -> CallContext {
        self.context_of(SYSTEM_ORGANIZATION)
    }

    pub(super) fn context_of(&self, organization_id: OrganizationId) -> CallContext {
        CallContext {
            caller: Caller::Core,
            actor: Actor::System,
            organization_id,
            request_id: RequestId::from_uuid(Uuid::from_u128(7)),
            idempotency_key: None,
            deadline: self.clock.now() + TimeDelta::minutes(1),
        }
    }

    /// An organization with a certificate authority, and so with a data key.
    pub(super) async fn organization(&self) -> OrganizationId {
        self.organization_by(&self.client).await.unwrap()
    }

    /// The same, made by one of several processes.
    pub(super) async fn organization_by(
        &self,
        process: &SecureClient,
    ) -> Result<OrganizationId, SecureError> {
        let id = OrganizationId::generate(self.clock.now(), self.rng.as_ref());
        let command = CreateCertificateAuthority {
            name: "Issuer".to_owned(),
            subject_der: from_rfc4514("CN=Issuer").unwrap(),
            parent_issuer_id: None,
            key_algorithm: KeyAlgorithm::EcdsaP256,
            signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
            validity_seconds: 1_000 * 86_400,
            path_length_max: None,
            limits: limits(),
            organization_ids: Vec::new(),
            proof: None,
        };
        // The bootstrap of an installation makes authorities without a code.
        let context = CallContext {
            caller: Caller::Bootstrap,
            ..self.context_of(id)
        };
        let made = process
            .create_certificate_authority(context, command)
            .await?;
        self.issuers.lock().unwrap().insert(id, made.issuer_id);
        Ok(id)
    }

    /// Issues a certificate whose key is made and kept here.
    pub(super) async fn issue(&self, organization_id: OrganizationId) {
        let issued = self.try_issue(&self.client, organization_id).await;
        issued.unwrap();
    }

    pub(super) async fn try_issue(
        &self,
        process: &SecureClient,
        organization_id: OrganizationId,
    ) -> Result<(), SecureError> {
        let issuer_id = self.issuers.lock().unwrap()[&organization_id];
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let begin = now.with_nanosecond(0).unwrap();
        let mut plan = CertificatePlan::end_entity(
            CertificateType::Server,
            from_rfc4514("CN=kept.example").unwrap(),
            Vec::new(),
            KeyAlgorithm::EcdsaP256,
            (begin, begin + TimeDelta::days(1)),
        );
        plan.key_usage.digital_signature = true;
        plan.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
        plan.subject_alternative_names = vec![GeneralName::Dns("kept.example".to_owned())];
        let certificate_id = CertificateId::generate(now, rng);
        let command = IssueCertificate {
            certificate_request_id: CertificateRequestId::generate(now, rng),
            certificate_id,
            issuer_id,
            key_source: KeySource::Generate,
            plan,
            context: IssuanceContext::default(),
        };
        let context = self.context_of(organization_id);
        process.issue_certificate(context, command).await?;
        let issued = (organization_id, certificate_id);
        self.issued.lock().unwrap().push(issued);
        Ok(())
    }

    /// Every private key of every certificate opens; says how many those are. Each data key is wrapped
    /// under the one active master key.
    pub(super) async fn everything_opens(&self) -> usize {
        let issued = self.issued.lock().unwrap().clone();
        for (organization_id, certificate_id) in &issued {
            let command = ExportPrivateKey {
                certificate_id: *certificate_id,
                passphrase: SecretString::new("correct horse battery".to_owned()),
                proof: None,
            };
            let context = CallContext {
                actor: Actor::LocalOperator { uid: 0 },
                ..self.context_of(*organization_id)
            };
            let exported = self.client.export_private_key(context, command).await;
            let exported = exported.unwrap_or_else(|error| panic!("{certificate_id}: {error}"));
            assert!(
                exported
                    .encrypted_pkcs8_pem
                    .expose()
                    .contains("ENCRYPTED PRIVATE KEY")
            );
        }
        assert_eq!(self.astray().await, 0);
        issued.len()
    }

    /// Data keys that the active master key does not wrap.
    pub(super) async fn astray(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM encryption_keys k WHERE k.key_type = 'data'
             AND k.wrapping_key_id NOT IN (SELECT m.id FROM encryption_keys m
                WHERE m.key_type = 'master' AND m.status = 'active')",
        )
        .fetch_one(&self.admin)
        .await
        .unwrap()
    }

    pub(super) async fn master_key(&self) -> MasterKey {
        let found = self
            .client
            .load_master_key(self.context(), LoadMasterKey {});
        found.await.unwrap()
    }

    pub(super) async fn rotate(
        &self,
        provider: MasterKeyProviderKind,
        rotation_type: KeyRotationType,
    ) -> KeyRotation {
        let rotated = self.try_rotate(&self.client, (provider, None), rotation_type);
        rotated.await.unwrap()
    }

    pub(super) async fn try_rotate(
        &self,
        process: &SecureClient,
        (provider, share_set_id): (MasterKeyProviderKind, Option<Uuid>),
        rotation_type: KeyRotationType,
    ) -> Result<KeyRotation, SecureError> {
        let command = RotateMasterKey {
            provider,
            share_set_id,
            rotation_type,
            reason: Some("a test".to_owned()),
            give_up: Vec::new(),
        };
        process.rotate_master_key(self.context(), command).await
    }

    /// Makes shares that are not in force yet.
    pub(super) async fn make_shares(
        &self,
        threshold: u8,
        shares: u8,
    ) -> Result<(Uuid, Vec<SecretString>), SecureError> {
        let command = MakeMasterKeyShares { threshold, shares };
        let made = self
            .client
            .make_master_key_shares(self.context(), command)
            .await?;
        let texts = made.shares.into_iter().map(|share| share.text);
        Ok((made.share_set_id, texts.collect()))
    }

    /// Splits the master key.
    pub(super) async fn split(&self, threshold: u8, shares: u8) -> Vec<SecretString> {
        let (set, texts) = self.make_shares(threshold, shares).await.unwrap();
        let to = (MasterKeyProviderKind::Shamir, Some(set));
        let rotated = self.try_rotate(&self.client, to, KeyRotationType::Manual);
        rotated.await.unwrap();
        texts
    }

    pub(super) async fn unseal(&self, share: &SecretString) -> Result<SealStatus, SecureError> {
        let command = Unseal {
            share: share.clone(),
        };
        self.client.unseal(self.context(), command).await
    }

    /// Takes the split master key out of memory.
    pub(super) async fn seal(&self, force: bool) -> Result<SealStatus, SecureError> {
        self.client.seal(self.context(), Seal { force }).await
    }

    /// The database is gone, as with a power cut.
    pub(super) fn kill_database(&mut self) {
        let pid = self.cluster.cluster().postmaster_pid();
        clm_tests::program::signal_process("QUIT", pid);
        // The postmaster goes last, so no session outlives this.
        while clm_tests::program::is_postgres(pid) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// How often each event is in the audit log of the system organization.
    pub(super) async fn events(&self) -> BTreeMap<String, i64> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT event_code, count(*) FROM secure_audit_log WHERE organization_id = $1
             GROUP BY event_code",
        )
        .bind(SYSTEM_ORGANIZATION.as_uuid())
        .fetch_all(&self.admin)
        .await
        .unwrap();
        counts.into_iter().collect()
    }

    /// The states of all master keys, oldest first.
    pub(super) async fn master_statuses(&self) -> Vec<EncryptionKeyStatus> {
        let statuses: Vec<String> = sqlx::query_scalar(
            "SELECT status FROM encryption_keys WHERE key_type = 'master' ORDER BY key_version",
        )
        .fetch_all(&self.admin)
        .await
        .unwrap();
        statuses.iter().map(|text| text.parse().unwrap()).collect()
    }

    pub(super) async fn providers_of_data_keys(&self) -> Vec<String> {
        let query = "SELECT provider FROM encryption_keys WHERE key_type = 'data'";
        sqlx::query_scalar(query)
            .fetch_all(&self.admin)
            .await
            .unwrap()
    }

    pub(super) async fn damage_a_data_key(&self) {
        let damage =
            "UPDATE encryption_keys SET encryption_auth_tag = decode(repeat('00', 16), 'hex')
            WHERE key_type = 'data'";
        sqlx::query(damage).execute(&self.admin).await.unwrap();
    }

    /// The same, once no transaction is left that nobody waits for.
    pub(super) async fn settled_rotations(&self) -> i64 {
        let lock = "SELECT id FROM encryption_keys WHERE key_type = 'master' FOR UPDATE";
        sqlx::query(lock).fetch_all(&self.admin).await.unwrap();
        self.rotations().await
    }

    /// How many rotations of master keys there were.
    pub(super) async fn rotations(&self) -> i64 {
        let query = "SELECT count(*) FROM key_rotation_history WHERE key_type = 'master'";
        sqlx::query_scalar(query)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }
}

async fn open(
    connect: &PgConnectOptions,
    sources: &MasterKeySources,
    (clock, rng): (&Arc<ManualClock>, &Arc<SeededRng>),
) -> Result<Arc<Secure>, String> {
    let opened = Secure::open(SecureOptions {
        pool: Pool::new(Database::Secure, connect.clone(), &PoolOptions::default()),
        master_key: sources.clone(),
        clock: Arc::clone(clock) as _,
        rng: Arc::clone(rng) as Arc<dyn Rng>,
        relay_delay: std::time::Duration::ZERO,
        rsa_keys_ahead: 0,
        data_key_seals_max: DATA_KEY_SEALS_MAX,
    });
    opened
        .await
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

fn limits() -> IssuerLimits {
    IssuerLimits {
        certificate_authority: false,
        end_entities: true,
        extended_key_usage: vec![extended_key_usage::SERVER_AUTH.parse().unwrap()],
        key_algorithms: KeyAlgorithm::ALL.to_vec(),
        validity_seconds_max: 100 * 86_400,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    }
}
