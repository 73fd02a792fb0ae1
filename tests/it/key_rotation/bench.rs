//! What these tests work with.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{CertificatePlan, extended_key_usage};
use clm_domain::clock::{Clock as _, Rng, random_bytes};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EncryptionKeyId, IssuerId, OrganizationId, PrivateKeyId,
    RequestId,
};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretBytes;
use clm_domain::states::{
    CertificateType, EncryptionKeyStatus, EncryptionKeyType, KeyRotationType,
};
use clm_pki::name::from_rfc4514;
use clm_secure::envelope::{Place, Sealed};
use clm_secure::{
    DATA_KEY_SEALS_MAX, FileMasterKey, MasterKeyProvider, MasterKeySources, Secure, SecureOptions,
    SoftwareMasterKey,
};
use clm_secure_api::command::{
    CreateCertificateAuthority, IssuanceContext, IssueCertificate, KeySource, ListEncryptionKeys,
    LoadEncryptionKey, LoadKeyRotation, StartKeyRotation,
};
use clm_secure_api::reply::{EncryptionKey, Issued, KeyRotation};
use clm_secure_api::{CallContext, Caller, SecureClient, SecureError};
use clm_test_support::{ManualClock, SeededRng, TestCluster};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

/// Planted private keys of an organization: two whole batches and a part of one.
pub(crate) const ITEMS: i64 = 1_200;
/// What is sealed in a planted row, followed by the id of the row.
const PLANTED: &[u8] = b"a planted private key ";

/// The Secure Service on a database of its own.
pub(crate) struct Bench {
    pub(crate) client: SecureClient,
    pub(crate) admin: PgPool,
    pub(crate) clock: Arc<ManualClock>,
    secure: Arc<Secure>,
    /// The first master key, which the test holds too.
    master_key: SoftwareMasterKey,
    sources: MasterKeySources,
    connect: PgConnectOptions,
    rng: Arc<SeededRng>,
    issuers: std::sync::Mutex<BTreeMap<OrganizationId, IssuerId>>,
    _cluster: TestCluster,
}

/// A data key, unwrapped by the master key alone.
struct Unwrapped {
    id: Uuid,
    material: SecretBytes,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with_seals_max(DATA_KEY_SEALS_MAX).await
    }

    /// A service whose data keys may seal so often.
    pub(crate) async fn with_seals_max(seals_max: i64) -> Self {
        let cluster = TestCluster::start().await;
        let (connect, _) = cluster.init(Database::Secure).await;
        let admin = PgPool::connect_lazy_with(cluster.admin("clm_secure_db"));
        // The log has no partitions for the past.
        let now: DateTime<Utc> = sqlx::query_scalar("SELECT now()")
            .fetch_one(&admin)
            .await
            .unwrap();
        let rng = Arc::new(SeededRng::new(11));
        let path = cluster.directory().join("master.key");
        let master_key = FileMasterKey::create(&path, rng.as_ref()).unwrap();
        let key_sources = MasterKeySources::file(path);
        let clock = Arc::new(ManualClock::at(now));
        let sources = (key_sources.clone(), Arc::clone(&clock), Arc::clone(&rng));
        let secure = open(&connect, sources, seals_max).await;
        // The clock goes on for weeks.
        secure.ensure_audit_partitions().await.unwrap();
        Self {
            client: SecureClient::new(Arc::clone(&secure) as _),
            admin,
            clock,
            secure,
            master_key,
            sources: key_sources,
            connect,
            rng,
            issuers: std::sync::Mutex::default(),
            _cluster: cluster,
        }
    }

    /// The service.
    pub(crate) fn secure(&self) -> &Arc<Secure> {
        &self.secure
    }

    /// Another process.
    pub(crate) async fn another(&self) -> Arc<Secure> {
        // Not the same nonces and ids as the first one.
        let sources = (
            self.sources.clone(),
            Arc::clone(&self.clock),
            self.another_rng(),
        );
        open(&self.connect, sources, DATA_KEY_SEALS_MAX).await
    }

    /// A pool of the program's own role.
    pub(crate) fn pool(&self) -> Pool {
        Pool::new(
            Database::Secure,
            self.connect.clone(),
            &PoolOptions::default(),
        )
    }

    /// Random numbers that nothing else here draws.
    pub(crate) fn another_rng(&self) -> Arc<SeededRng> {
        Arc::new(SeededRng::new(u64::from_be_bytes(random_bytes(&*self.rng))))
    }

    pub(crate) fn context(&self, organization_id: OrganizationId) -> CallContext {
        CallContext {
            caller: Caller::Core,
            actor: Actor::System,
            organization_id,
            request_id: RequestId::from_uuid(Uuid::from_u128(7)),
            idempotency_key: None,
            deadline: self.clock.now() + TimeDelta::minutes(1),
        }
    }

    /// The bootstrap of an installation, which makes authorities without a code.
    fn bootstrap(&self, organization_id: OrganizationId) -> CallContext {
        CallContext {
            caller: Caller::Bootstrap,
            ..self.context(organization_id)
        }
    }

    /// An organization with a certificate authority and `items` planted private keys.
    pub(crate) async fn organization(&self, items: i64) -> OrganizationId {
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
        let made = self
            .client
            .create_certificate_authority(self.bootstrap(id), command)
            .await;
        let issuer_id = made.unwrap().issuer_id;
        self.issuers.lock().unwrap().insert(id, issuer_id);
        let key = self.active(id).await.encryption_key_id;
        self.plant(id, key, items).await;
        id
    }

    /// Private keys that the test seals itself under a data key of the organization.
    pub(crate) async fn plant(
        &self,
        organization_id: OrganizationId,
        encryption_key_id: EncryptionKeyId,
        items: i64,
    ) -> Vec<Uuid> {
        let keys = self.unwrap_all(organization_id).await;
        let key = keys
            .iter()
            .find(|key| key.id == encryption_key_id.as_uuid())
            .unwrap();
        let (mut ids, mut materials) = (Vec::new(), Vec::new());
        let (mut nonces, mut tags) = (Vec::new(), Vec::new());
        for _ in 0..items {
            let id = PrivateKeyId::generate(self.clock.now(), self.rng.as_ref());
            let place = Place::private_key(id, organization_id, encryption_key_id);
            let nonce = random_bytes(self.rng.as_ref());
            let sealed = seal(&key.material, &place, planted(id), nonce);
            ids.push(id.as_uuid());
            materials.push(sealed.ciphertext);
            nonces.push(sealed.nonce.to_vec());
            tags.push(sealed.tag.to_vec());
        }
        sqlx::query(
            "INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der,
                key_algorithm, key_usage_purpose, encrypted_key_material, encryption_key_id,
                encryption_algorithm, encryption_iv, encryption_auth_tag)
             SELECT id, $1, sha256(uuid_send(id)), '\\x00', 'ecdsa-p256', 'end_entity', material,
                $2, 'AES-256-GCM', nonce, tag
             FROM unnest($3::uuid[], $4::bytea[], $5::bytea[], $6::bytea[])
                AS n (id, material, nonce, tag)",
        )
        .bind(organization_id.as_uuid())
        .bind(encryption_key_id.as_uuid())
        .bind(&ids)
        .bind(&materials)
        .bind(&nonces)
        .bind(&tags)
        .execute(&self.admin)
        .await
        .unwrap();
        ids
    }

    /// The key that seals for the organization now; there is exactly one.
    pub(crate) async fn active(&self, organization_id: OrganizationId) -> EncryptionKey {
        let mut keys = self.keys(organization_id).await;
        // The system organization has the master keys as well.
        keys.retain(|key| {
            key.status == EncryptionKeyStatus::Active && key.key_type == EncryptionKeyType::Data
        });
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }

    /// All versions of the key of the organization, newest first.
    pub(crate) async fn keys(&self, organization_id: OrganizationId) -> Vec<EncryptionKey> {
        let command = ListEncryptionKeys {
            after: None,
            limit: 1_000,
        };
        let context = self.context(organization_id);
        self.client
            .list_encryption_keys(context, command)
            .await
            .unwrap()
    }

    pub(crate) async fn key(
        &self,
        organization_id: OrganizationId,
        encryption_key_id: EncryptionKeyId,
    ) -> EncryptionKey {
        let command = LoadEncryptionKey { encryption_key_id };
        let context = self.context(organization_id);
        self.client
            .load_encryption_key(context, command)
            .await
            .unwrap()
    }

    pub(crate) async fn try_rotate(
        &self,
        organization_id: OrganizationId,
        (rotation_type, items_per_second_max): (KeyRotationType, Option<u32>),
    ) -> Result<KeyRotation, SecureError> {
        let command = StartKeyRotation {
            rotation_type,
            reason: Some("a test".to_owned()),
            items_per_second_max,
        };
        let context = self.context(organization_id);
        self.client.start_key_rotation(context, command).await
    }

    pub(crate) async fn rotate(
        &self,
        organization_id: OrganizationId,
        rotation_type: KeyRotationType,
    ) -> KeyRotation {
        self.try_rotate(organization_id, (rotation_type, None))
            .await
            .unwrap()
    }

    pub(crate) async fn rotate_throttled(
        &self,
        organization_id: OrganizationId,
        items_per_second_max: u32,
    ) -> KeyRotation {
        let kind = (KeyRotationType::Manual, Some(items_per_second_max));
        self.try_rotate(organization_id, kind).await.unwrap()
    }

    /// A rotation from its start to its end.
    pub(crate) async fn complete(
        &self,
        organization_id: OrganizationId,
        rotation_type: KeyRotationType,
    ) -> KeyRotation {
        let rotation = self.rotate(organization_id, rotation_type).await;
        self.finish().await;
        self.rotation(organization_id, &rotation).await
    }

    pub(crate) async fn rotation(
        &self,
        organization_id: OrganizationId,
        rotation: &KeyRotation,
    ) -> KeyRotation {
        let command = LoadKeyRotation {
            key_rotation_id: rotation.key_rotation_id,
        };
        let context = self.context(organization_id);
        self.client
            .load_key_rotation(context, command)
            .await
            .unwrap()
    }

    /// Does what is due now.
    pub(crate) async fn work(&self) {
        work(&self.secure, &self.clock).await;
    }

    /// Works until no rotation runs, moving the clock to whatever is waited for.
    pub(crate) async fn finish(&self) {
        while let Some(next) = self.secure.rotate_keys().await.unwrap() {
            let wait = next - self.clock.now();
            self.clock.advance(wait.max(TimeDelta::zero()));
        }
    }

    /// Issues a certificate with a key made here.
    pub(crate) async fn issue(
        &self,
        organization_id: OrganizationId,
    ) -> Result<Issued, SecureError> {
        self.issue_by(&self.client, organization_id).await
    }

    /// Has a certificate issued by one of several processes.
    pub(crate) async fn issue_by(
        &self,
        process: &SecureClient,
        organization_id: OrganizationId,
    ) -> Result<Issued, SecureError> {
        let issuer_id = self.issuers.lock().unwrap()[&organization_id];
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let begin = now.with_nanosecond(0).unwrap();
        let mut plan = CertificatePlan::end_entity(
            CertificateType::Server,
            from_rfc4514("CN=rotated.example").unwrap(),
            Vec::new(),
            KeyAlgorithm::EcdsaP256,
            (begin, begin + TimeDelta::days(1)),
        );
        plan.key_usage.digital_signature = true;
        plan.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
        plan.subject_alternative_names = vec![GeneralName::Dns("rotated.example".to_owned())];
        let command = IssueCertificate {
            certificate_request_id: CertificateRequestId::generate(now, rng),
            certificate_id: CertificateId::generate(now, rng),
            issuer_id,
            key_source: KeySource::Generate,
            plan,
            context: IssuanceContext::default(),
        };
        let context = self.context(organization_id);
        process.issue_certificate(context, command).await
    }

    /// Opens every private key of the organization with the master key and the documented format
    /// alone; returns under which data keys they are sealed.
    pub(crate) async fn check_sealed(
        &self,
        organization_id: OrganizationId,
        items: i64,
    ) -> Vec<Uuid> {
        let keys = self.unwrap_all(organization_id).await;
        let rows = sqlx::query(
            "SELECT id, encryption_key_id, encrypted_key_material, encryption_iv,
                encryption_auth_tag, public_key_der = '\\x00' AS planted
             FROM private_keys WHERE organization_id = $1 ORDER BY id",
        )
        .bind(organization_id.as_uuid())
        .fetch_all(&self.admin)
        .await
        .unwrap();
        assert_eq!(rows.len() as i64, items, "private keys");
        let mut live = Vec::new();
        for row in &rows {
            let (id, sealed_by): (Uuid, Uuid) = (row.get("id"), row.get("encryption_key_id"));
            let key = keys.iter().find(|key| key.id == sealed_by);
            let key = key.unwrap_or_else(|| panic!("{id} is sealed under {sealed_by}"));
            let id = PrivateKeyId::from_uuid(id);
            let place = Place::private_key(id, organization_id, sealed_by.into());
            let opened = open_sealed(&key.material, &place, &sealed(row));
            if row.get("planted") {
                assert_eq!(opened, planted(id), "{id}");
            }
            live.push(sealed_by);
        }
        live.sort_unstable();
        live.dedup();
        live
    }

    async fn unwrap_all(&self, organization_id: OrganizationId) -> Vec<Unwrapped> {
        let rows = sqlx::query(
            "SELECT id, wrapping_key_id, encrypted_key_material, encryption_iv,
                encryption_auth_tag
             FROM encryption_keys WHERE organization_id = $1 AND key_type = 'data'
                AND encrypted_key_material IS NOT NULL",
        )
        .bind(organization_id.as_uuid())
        .fetch_all(&self.admin)
        .await
        .unwrap();
        let unwrapped = rows.iter().map(|row| {
            let (id, wrapping): (Uuid, Uuid) = (row.get("id"), row.get("wrapping_key_id"));
            let place = Place::data_key(id.into(), organization_id, wrapping.into());
            let material = self
                .master_key
                .unwrap(&sealed(row), &place.additional_data())
                .unwrap();
            Unwrapped { id, material }
        });
        unwrapped.collect()
    }

    /// How often each event is in the audit log of the organization.
    pub(crate) async fn events(&self, organization_id: OrganizationId) -> BTreeMap<String, i64> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT event_code, count(*) FROM secure_audit_log WHERE organization_id = $1
             GROUP BY event_code",
        )
        .bind(organization_id.as_uuid())
        .fetch_all(&self.admin)
        .await
        .unwrap();
        counts.into_iter().collect()
    }

    /// Every version has counted at least as many seals as are stored under it.
    pub(crate) async fn seals_are_counted(&self, organization_id: OrganizationId) {
        let short: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM encryption_keys k WHERE k.organization_id = $1
                AND k.created_by_user_id IS NULL AND k.status = 'active' AND k.seal_count < (
                    SELECT count(*) FROM private_keys p WHERE p.encryption_key_id = k.id)",
        )
        .bind(organization_id.as_uuid())
        .fetch_one(&self.admin)
        .await
        .unwrap();
        assert_eq!(short, 0, "a key made more seals than it counted");
    }
}

/// Does what is due now: the throttle, and the wait before the last pass, hold it.
pub(crate) async fn work(secure: &Secure, clock: &ManualClock) {
    while secure
        .rotate_keys()
        .await
        .unwrap()
        .is_some_and(|next| next <= clock.now())
    {}
}

async fn open(
    connect: &PgConnectOptions,
    (master_key, clock, rng): (MasterKeySources, Arc<ManualClock>, Arc<SeededRng>),
    data_key_seals_max: i64,
) -> Arc<Secure> {
    let secure = Secure::open(SecureOptions {
        pool: Pool::new(Database::Secure, connect.clone(), &PoolOptions::default()),
        master_key,
        clock,
        rng: rng as Arc<dyn Rng>,
        relay_delay: std::time::Duration::ZERO,
        rsa_keys_ahead: 0,
        data_key_seals_max,
    });
    Arc::new(secure.await.unwrap())
}

/// What is sealed in the row of a planted key.
fn planted(id: PrivateKeyId) -> Vec<u8> {
    [PLANTED, id.as_uuid().as_bytes()].concat()
}

fn seal(key: &SecretBytes, place: &Place, mut content: Vec<u8>, nonce: [u8; 12]) -> Sealed {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap());
    let aad = Aad::from(place.additional_data());
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut content)
        .unwrap();
    Sealed {
        ciphertext: content,
        nonce,
        tag: tag.as_ref().try_into().unwrap(),
    }
}

fn open_sealed(key: &SecretBytes, place: &Place, sealed: &Sealed) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap());
    let nonce = Nonce::assume_unique_for_key(sealed.nonce);
    let mut buffer = [sealed.ciphertext.as_slice(), &sealed.tag].concat();
    let aad = Aad::from(place.additional_data());
    let opened = key.open_in_place(nonce, aad, &mut buffer);
    opened
        .unwrap_or_else(|_| panic!("{place} does not open"))
        .to_vec()
}

fn sealed(row: &sqlx::postgres::PgRow) -> Sealed {
    let bytes = |name: &str| row.get::<Vec<u8>, _>(name);
    Sealed {
        ciphertext: bytes("encrypted_key_material"),
        nonce: bytes("encryption_iv").try_into().unwrap(),
        tag: bytes("encryption_auth_tag").try_into().unwrap(),
    }
}

/// Limits that allow end entities with any names.
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
