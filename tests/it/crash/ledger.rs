//! What both databases hold, compared with what clients were told.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgPool};

use super::clients::{Asked, Told};
use clm_tests::databases::Superuser;

/// The certificates that clients asked for, as `clm_secure_db` has them, with the label that the
/// client gave and the number of audit events.
const SECURE: &str = "
    SELECT c.id::text, encode(c.serial_number, 'hex') AS serial_number,
        encode(c.fingerprint_sha256, 'hex') AS fingerprint_sha256,
        c.issuance_context #>> '{tags,0}' AS label,
        (SELECT count(*) FROM secure_audit_log a WHERE a.event_code = 'certificate.issued'
            AND a.result = 'success' AND a.resource_id = c.id) AS audit_events
    FROM certificates c WHERE c.issuance_context #>> '{tags,0}' IS NOT NULL";

/// The same from `clm_core_db`.
const CORE: &str = "
    SELECT m.certificate_id::text AS id, m.serial_number,
        encode(m.fingerprint_sha256, 'hex') AS fingerprint_sha256, m.tags[1] AS label,
        (SELECT count(*) FROM audit_log a WHERE a.event_code = 'certificate.issued'
            AND a.result = 'success' AND a.resource_id = m.certificate_id) AS audit_events
    FROM certificate_metadata m WHERE m.tags[1] IS NOT NULL";

#[derive(Debug, FromRow)]
struct Row {
    id: String,
    serial_number: String,
    fingerprint_sha256: String,
    label: String,
    audit_events: i64,
}

/// One database: certificates by the label that the client gave.
type Side = BTreeMap<String, Told>;

/// Both databases at one moment.
pub(super) struct Ledger {
    sides: [(&'static str, Side); 2],
}

impl Ledger {
    /// Reads both databases. Each certificate must stand there once per label, with one audit event,
    /// and no serial number twice.
    pub(super) async fn read(records: &Superuser) -> Self {
        let repeated: Vec<String> = sqlx::query_scalar(
            "SELECT encode(serial_number, 'hex') FROM certificates
             GROUP BY serial_number HAVING count(*) > 1",
        )
        .fetch_all(&records.secure)
        .await
        .unwrap();
        assert_eq!(
            repeated,
            Vec::<String>::new(),
            "serial numbers that occur twice"
        );
        Self {
            sides: [
                (
                    "clm_secure_db",
                    side("clm_secure_db", &records.secure, SECURE).await,
                ),
                (
                    "clm_core_db",
                    side("clm_core_db", &records.core, CORE).await,
                ),
            ],
        }
    }

    /// What stands under a label in both databases.
    pub(super) fn find(&self, label: &str) -> [Option<&Told>; 2] {
        [0, 1].map(|index| self.sides[index].1.get(label))
    }

    /// How many certificates clients have in `clm_secure_db`.
    pub(super) fn len(&self) -> usize {
        self.sides[0].1.len()
    }

    /// Checks that every certificate that a client was told of stands in both databases.
    pub(super) fn check(&self, asked: &[Asked]) {
        for request in asked {
            let Some(told) = &request.told else { continue };
            for (database, side) in &self.sides {
                let stored = side.get(&request.key);
                assert_eq!(stored, Some(told), "{} in {database}", request.key);
            }
        }
    }
}

async fn side(database: &str, pool: &PgPool, statement: &'static str) -> Side {
    let rows: Vec<Row> = sqlx::query_as(statement).fetch_all(pool).await.unwrap();
    let mut side = Side::new();
    for row in rows {
        assert_eq!(row.audit_events, 1, "audit events in {database} of {row:?}");
        let told = Told {
            id: row.id,
            serial_number: row.serial_number,
            fingerprint_sha256: row.fingerprint_sha256,
        };
        let other = side.insert(row.label, told.clone());
        assert_eq!(
            other, None,
            "{database} has a second certificate for a key: {told:?}"
        );
    }
    side
}
