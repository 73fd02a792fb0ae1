//! Tests of `audit`.

use serde_json::json;

use super::*;
use crate::ids::SYSTEM_ORGANIZATION;

/// No randomness.
struct Zeros;

impl Rng for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn row() -> AuditRow {
    let cause = Cause {
        actor: &Actor::System,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::from_uuid(Uuid::nil()),
    };
    let event = CoreEvent::CertificateAuthorityCreated;
    AuditRow::success(event, &cause, None, DateTime::UNIX_EPOCH, &Zeros)
}

#[test]
fn what_the_log_cannot_store_is_replaced() {
    let row = row()
        .refused("a\0b")
        .with_details(json!({ "name\0": "c\0", "list": ["\0", 1, null], "fine": "d" }));
    assert_eq!(row.reason.as_deref(), Some("a\u{fffd}b"));
    let expected =
        json!({ "name\u{fffd}": "c\u{fffd}", "list": ["\u{fffd}", 1, null], "fine": "d" });
    assert_eq!(row.details, expected);
}

#[test]
fn the_order_of_keys_does_not_change_the_hash() {
    let one = row().with_details(json!({ "a": 1, "b": { "c": [true], "d": "e" } }));
    let other = row().with_details(json!({ "b": { "d": "e", "c": [true] }, "a": 1 }));
    assert_eq!(one.canonical_sha256(), other.canonical_sha256());
    let changed = row().with_details(json!({ "a": 1, "b": { "c": [false], "d": "e" } }));
    assert_ne!(one.canonical_sha256(), changed.canonical_sha256());
}
