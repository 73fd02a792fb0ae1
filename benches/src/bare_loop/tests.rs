//! The bare loop writes real certificates, and its statements fit the schema of today.

use clm_pki::certificate::Certificate;
use clm_pki::key::PublicKey;
use clm_test_support::cluster::{directory, pg_bin};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::*;
use crate::requests;

fn seed() -> Seed {
    Seed {
        organization_id: Uuid::from_u128(1),
        user_id: Uuid::from_u128(2),
        issuer_id: Uuid::from_u128(3),
        api_key_id: Uuid::from_u128(4),
    }
}

#[test]
fn a_certificate_carries_its_own_serial_number_and_a_valid_signature() {
    let csrs = requests::make(1).unwrap();
    let authority = Authority::make().unwrap();
    let template = Template::make(&csrs[0], &authority, &seed()).unwrap();
    let first = template.sign(&authority).unwrap();
    let second = template.sign(&authority).unwrap();
    assert_ne!(first.serial_number, second.serial_number);
    let issuer = PublicKey::from_spki_der(authority.key.subject_public_key_info()).unwrap();
    for issuance in [first, second] {
        let certificate = Certificate::from_der(&issuance.certificate_der).unwrap();
        assert_eq!(certificate.serial(), issuance.serial_number.as_bytes());
        assert_eq!(certificate.spki_der(), csrs[0].spki_der);
        certificate.verify_signed_by(&issuer).unwrap();
    }
}

#[tokio::test]
async fn each_turn_writes_six_rows_that_the_schema_takes() {
    const TURNS: i64 = 3;
    let directory = directory();
    let csrs = requests::make(2).unwrap();
    let bare = BareLoop::start(directory.path(), pg_bin().as_deref(), &csrs)
        .await
        .unwrap();
    // The start has made a first one.
    for _ in 1..TURNS {
        bare.client().issue().await.unwrap();
    }
    let tables = [
        (Database::Secure, "certificate_requests"),
        (
            Database::Secure,
            "certificates WHERE certificate_type = 'server'",
        ),
        (Database::Secure, "secure_audit_log"),
        (Database::Secure, "outbox"),
        (Database::Core, "certificate_metadata"),
        (Database::Core, "audit_log"),
    ];
    for (database, table) in tables {
        let mut connection = bare.admin(database).connect().await.unwrap();
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(rows, TURNS, "{table}");
        connection.close().await.unwrap();
    }
    bare.stop().await.unwrap();
}
