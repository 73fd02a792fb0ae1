//! The authority: there is one, its key is sealed with all others, and nothing that a core can send
//! names it.

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::ids::{CertificateId, IssuerId, SYSTEM_ORGANIZATION};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_pki::name::from_rfc4514;
use clm_secure::transport::TransportGate;
use clm_secure_api::command::{CreateCertificateAuthority, ExportPrivateKey, ListExposedKeys};
use clm_secure_api::{CallContext, Caller};
use clm_tests::openssl;
use uuid::Uuid;

use super::bench::{Bench, open};
use crate::key_rotation::bench::Bench as Service;

async fn count(service: &Service, query: &'static str) -> i64 {
    let count = sqlx::query_scalar(query);
    count.fetch_one(&service.admin).await.unwrap()
}

async fn id(service: &Service, column: &'static str) -> Uuid {
    let query = match column {
        "id" => "SELECT id FROM transport_authorities",
        _ => "SELECT private_key_id FROM transport_authorities",
    };
    let id = sqlx::query_scalar(query);
    id.fetch_one(&service.admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_authority_however_many_processes_start_at_once() {
    let service = Service::start().await;
    let mut starts = Vec::new();
    for _ in 0..6 {
        let process = service.another().await;
        starts.push(tokio::spawn(async move { open(&process).await }));
    }
    let mut authorities = Vec::new();
    for start in starts {
        authorities.push(start.await.unwrap().authority_der());
    }
    authorities.push(open(service.secure()).await.authority_der());
    authorities.dedup();
    assert_eq!(authorities.len(), 1, "all have the same");
    for (table, query) in [
        (
            "transport_authorities",
            "SELECT count(*) FROM transport_authorities",
        ),
        ("private_keys", "SELECT count(*) FROM private_keys"),
        (
            "secure_audit_log",
            "SELECT count(*) FROM secure_audit_log WHERE event_code = 'transport_authority.created'",
        ),
    ] {
        assert_eq!(count(&service, query).await, 1, "{table}");
    }
}

/// OpenSSL judges each certificate by its use.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_good_for_their_side_alone() {
    let bench = Bench::start().await;
    let server = bench.gate.server_identity().await.unwrap();
    let (client, _) = bench.pair("core-1").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (name, der) in [
        ("ca", &bench.gate.authority_der()),
        ("server", &server.certificate_der),
        ("client", &client.certificate_der),
    ] {
        std::fs::write(path.join(name), der).unwrap();
        let pem = format!("{name}.pem");
        openssl::expect(path, &["x509", "-inform", "DER", "-in", name, "-out", &pem]);
    }
    let verify = |name: &str, purpose: &str, more: &[&str]| {
        let common = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose"];
        let arguments = [&common, [purpose].as_slice(), more, &[name]].concat();
        openssl::run(path, &arguments).status.success()
    };
    let host = ["-verify_hostname", "secure.clm.internal"];
    assert!(verify("server.pem", "sslserver", &host));
    assert!(verify("client.pem", "sslclient", &[]));
    assert!(!verify("server.pem", "sslclient", &[]));
    assert!(!verify("client.pem", "sslserver", &[]));
    let other = ["-verify_hostname", "www.example.org"];
    assert!(!verify("server.pem", "sslserver", &other));
    let audited = bench.events("transport_server.certified").await;
    assert_eq!(audited.len(), 1, "{audited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_that_cannot_be_is_refused() {
    let service = Service::start().await;
    for lifetime in [
        TimeDelta::seconds(59),
        TimeDelta::days(31),
        -TimeDelta::days(7),
        TimeDelta::MAX,
    ] {
        let refused = TransportGate::open(service.secure(), lifetime).await;
        assert_eq!(refused.err().unwrap().0.code, "lifetime_invalid");
    }
    assert_eq!(
        count(&service, "SELECT count(*) FROM transport_authorities").await,
        0
    );
}

/// The key of the authority is one of the items, moves to the next data key, and signs on.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_covers_the_key_of_the_authority() {
    let bench = Bench::start().await;
    let service = &bench.service;
    let old = service.active(SYSTEM_ORGANIZATION).await.encryption_key_id;
    let rotation = service
        .complete(SYSTEM_ORGANIZATION, KeyRotationType::Compromise)
        .await;
    assert_eq!(
        rotation.status,
        KeyRotationStatus::Completed,
        "{rotation:?}"
    );
    assert_eq!((rotation.items_total, rotation.items_processed), (1, 1));
    let new = service.active(SYSTEM_ORGANIZATION).await.encryption_key_id;
    assert_ne!(old, new);
    let live = service.check_sealed(SYSTEM_ORGANIZATION, 1).await;
    assert_eq!(live, [new.as_uuid()]);

    service.clock.advance(TimeDelta::days(2));
    service.secure().maintain_keys().await.unwrap();
    let gone = service.key(SYSTEM_ORGANIZATION, old).await;
    assert_eq!(gone.status, EncryptionKeyStatus::Destroyed);
    let (certificate, _) = bench.pair("core-1").await;
    assert_eq!(bench.identify(&certificate).await, "core-1");
    let another = open(&service.another().await).await;
    another.server_identity().await.unwrap();

    // A compromise names it, so that somebody does something about it.
    let command = ListExposedKeys {
        key_rotation_id: rotation.key_rotation_id,
        after: None,
        limit: 10,
    };
    let context = service.context(SYSTEM_ORGANIZATION);
    let exposed = service.client.list_exposed_keys(context, command).await;
    let exposed = exposed.unwrap();
    assert_eq!(exposed.len(), 1, "{exposed:?}");
    assert!(exposed[0].is_issuer_key && exposed[0].certificate_ids.is_empty());
}

/// A core knows an id and uses it wherever a command takes one.
#[tokio::test(flavor = "multi_thread")]
async fn no_command_reaches_the_authority() {
    let bench = Bench::start().await;
    let service = &bench.service;
    service.organization(0).await;
    for column in ["id", "private_key_id"] {
        let id = id(service, column).await;
        let refused = export(service, CertificateId::from_uuid(id)).await;
        assert_eq!(refused, "not_found", "{column}");
        let refused = create_below(service, IssuerId::from_uuid(id)).await;
        assert!(refused.contains("not_found"), "{column}: {refused}");
    }

    // Not even with a certificate that somebody put into the database for it.
    let planted = sqlx::query_scalar(
        "INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id,
            private_key_id, serial_number, subject, certificate_der, fingerprint_sha256,
            spki_sha256, tbs_sha256, key_algorithm, signature_algorithm, not_before, not_after)
         SELECT uuid_generate_v7(), a.organization_id, 'server', 'active', i.id, a.private_key_id,
            '\\x01', 'CN=planted', a.certificate_der, sha256('f'), sha256('s'), sha256('t'),
            'ecdsa-p256', 'ecdsa-with-sha256', now(), now() + interval '1 day'
         FROM transport_authorities a, issuers i RETURNING id",
    );
    let planted: Uuid = planted.fetch_one(&service.admin).await.unwrap();
    let refused = export(service, CertificateId::from_uuid(planted)).await;
    assert_eq!(refused, "private_key_not_exportable");
    let made_exportable = sqlx::query("UPDATE private_keys SET exportable = true");
    let made_exportable = made_exportable.execute(&service.admin).await;
    assert!(made_exportable.is_err(), "the schema forbids it as well");
}

async fn export(service: &Service, certificate_id: CertificateId) -> String {
    let command = ExportPrivateKey {
        certificate_id,
        passphrase: SecretString::new("a passphrase that is long enough".to_owned()),
        proof: None,
    };
    let context = CallContext {
        actor: Actor::LocalOperator { uid: 0 },
        ..service.context(SYSTEM_ORGANIZATION)
    };
    let refused = service.client.export_private_key(context, command).await;
    refused.unwrap_err().0.code.into_owned()
}

async fn create_below(service: &Service, parent: IssuerId) -> String {
    let command = CreateCertificateAuthority {
        name: "Below".to_owned(),
        subject_der: from_rfc4514("CN=Below").unwrap(),
        parent_issuer_id: Some(parent),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 86_400,
        path_length_max: None,
        limits: IssuerLimits {
            certificate_authority: false,
            end_entities: true,
            extended_key_usage: Vec::new(),
            key_algorithms: vec![KeyAlgorithm::EcdsaP256],
            validity_seconds_max: 3_600,
            names: NameLimits::default(),
            issuances_per_minute_max: None,
            certificate_policies: Vec::new(),
            other_extensions: Vec::new(),
        },
        organization_ids: Vec::new(),
        proof: None,
    };
    let context = CallContext {
        caller: Caller::Bootstrap,
        ..service.context(SYSTEM_ORGANIZATION)
    };
    let made = service
        .client
        .create_certificate_authority(context, command)
        .await;
    made.unwrap_err().0.code.into_owned()
}
