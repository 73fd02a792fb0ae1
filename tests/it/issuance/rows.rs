//! What an issuance leaves behind: the certificate, its request, its projection, and an audit event
//! on each side.

use chrono::{DateTime, Utc};
use clm_pki::csr::CertificationRequest;
use clm_tests::{Program, openssl};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::certificates;
use clm_tests::databases::{Log, Superuser};

/// Columns that the projection has in common with the certificate, beside its serial number.
const SHARED_TEXTS: [&str; 5] = [
    "certificate_type",
    "status",
    "subject",
    "key_algorithm",
    "common_name",
];

/// Checks the rows of the certificate in `chain`, made from the request in `csr` or from a key of
/// the platform's own. `answer` is what the requester got.
pub(super) async fn check(
    program: &Program,
    databases: &Superuser,
    (answer, chain): (&Value, &str),
    csr: Option<&str>,
) {
    let certificate = &answer["certificate"];
    let id = uuid(certificate, "id");
    let statement = "SELECT certificates.*, encode(serial_number, 'hex') AS serial \
        FROM certificates WHERE id = $1";
    let stored = one(&databases.secure, statement, id).await;
    let der = certificates(&program.directory.path().join(chain)).swap_remove(0);
    assert_eq!(stored.get::<Vec<u8>, _>("certificate_der"), der);
    assert_eq!(stored.get::<String, _>("status"), "active");
    let fingerprint = stored.get::<Vec<u8>, _>("fingerprint_sha256");
    assert_eq!(
        hex::encode(&fingerprint),
        fingerprint_by_openssl(program, chain)
    );

    check_request(program, databases, answer, csr).await;
    let statement = "SELECT * FROM certificate_metadata WHERE certificate_id = $1";
    let projected = one(&databases.core, statement, id).await;
    for column in SHARED_TEXTS {
        let (left, right): (Option<String>, Option<String>) =
            (stored.get(column), projected.get(column));
        assert_eq!(left, right, "{column}");
    }
    assert_eq!(
        projected.get::<String, _>("serial_number"),
        stored.get::<String, _>("serial")
    );
    for column in ["organization_id", "issuer_id", "certificate_request_id"] {
        assert_eq!(
            stored.get::<Uuid, _>(column),
            projected.get::<Uuid, _>(column),
            "{column}"
        );
    }
    for column in ["not_before", "not_after"] {
        let (left, right): (DateTime<Utc>, DateTime<Utc>) =
            (stored.get(column), projected.get(column));
        assert_eq!(left, right, "{column}");
    }
    assert_eq!(
        projected.get::<Vec<u8>, _>("fingerprint_sha256"),
        fingerprint
    );
    let names = "subject_alternative_names";
    assert_eq!(
        projected.get::<Vec<String>, _>(names),
        stored.get::<Vec<String>, _>(names)
    );
    assert_eq!(
        projected.get::<i64, _>("revision"),
        stored.get::<i64, _>("revision")
    );
    let key_id: Option<Uuid> = stored.get("private_key_id");
    assert_eq!(key_id.is_some(), csr.is_none());
    assert_eq!(projected.get::<bool, _>("has_private_key"), csr.is_none());
    check_audit(databases, id).await;
}

/// The request is fulfilled, and holds the bytes that came.
async fn check_request(
    program: &Program,
    databases: &Superuser,
    answer: &Value,
    csr: Option<&str>,
) {
    assert_eq!(answer["status"], "fulfilled");
    let statement = "SELECT * FROM certificate_requests WHERE id = $1";
    let request = one(&databases.secure, statement, uuid(answer, "id")).await;
    assert_eq!(request.get::<String, _>("status"), "fulfilled");
    assert!(
        request
            .get::<Option<DateTime<Utc>>, _>("fulfilled_at")
            .is_some()
    );
    let came = csr.map(|file| {
        let bytes = std::fs::read(program.directory.path().join(file)).unwrap();
        CertificationRequest::parse(&bytes).unwrap().der().to_vec()
    });
    assert_eq!(request.get::<Option<Vec<u8>>, _>("csr_der"), came);
}

/// One event in each log, about the same request to the platform.
async fn check_audit(databases: &Superuser, id: Uuid) {
    let mut requests = Vec::new();
    for log in [Log::Core, Log::Secure] {
        let mut about = databases.audit_log(log).await;
        about.retain(|(row, _)| {
            row.resource_id == Some(id) && row.event_code == "certificate.issued"
        });
        let [(event, _)] = about.as_slice() else {
            panic!("{} issuances of {id} in {}", about.len(), log.table());
        };
        assert_eq!(event.result.as_str(), "success");
        assert_eq!(event.actor_type, "local_operator");
        requests.push(event.request_id.expect("the event names its request"));
    }
    assert_eq!(requests[0], requests[1], "the logs name different requests");
}

async fn one(pool: &sqlx::PgPool, statement: &'static str, id: Uuid) -> PgRow {
    let rows = sqlx::query(statement)
        .bind(id)
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1, "{statement}");
    rows.into_iter().next().unwrap()
}

fn uuid(value: &Value, name: &str) -> Uuid {
    value[name].as_str().unwrap().parse().unwrap()
}

fn fingerprint_by_openssl(program: &Program, chain: &str) -> String {
    let arguments = ["x509", "-in", chain, "-noout", "-fingerprint", "-sha256"];
    let line = openssl::expect(program.directory.path(), &arguments);
    let (_, fingerprint) = line.trim().split_once('=').unwrap();
    fingerprint.replace(':', "").to_ascii_lowercase()
}
