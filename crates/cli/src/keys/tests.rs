//! Tests of `keys`: what the bar says.

use clm_domain::states::KeyRotationType;
use uuid::Uuid;

use super::*;

fn rotation(items_processed: i64, items_total: i64) -> KeyRotation {
    KeyRotation {
        id: Uuid::nil(),
        organization_id: Uuid::nil(),
        rotation_type: KeyRotationType::Manual,
        status: KeyRotationStatus::InProgress,
        old_encryption_key_id: Uuid::nil(),
        new_encryption_key_id: None,
        initiated_by_user_id: None,
        reason: None,
        items_total,
        items_processed,
        items_failed: 0,
        items_rolled_back: 0,
        items_per_second_max: None,
        started_at: DateTime::<Utc>::MIN_UTC,
        rollback_started_at: None,
        completed_at: None,
        error_message: None,
    }
}

#[test]
fn the_bar_fills_with_the_items() {
    assert!(bar(&rotation(0, 10)).starts_with("[          "));
    assert!(bar(&rotation(5, 10)).starts_with(&format!("[{} ", "#".repeat(20))));
    let full = bar(&rotation(10, 10));
    assert!(full.starts_with(&format!("[{}]", "#".repeat(40))), "{full}");
    assert!(full.contains("waiting"), "{full}");
}

#[test]
fn nothing_to_do_is_no_division_by_zero() {
    assert!(bar(&rotation(0, 0)).contains("0/0"));
}

#[test]
fn a_roll_back_is_called_so() {
    let mut back = rotation(7, 10);
    back.rollback_started_at = Some(DateTime::<Utc>::MIN_UTC);
    back.items_rolled_back = 3;
    let text = bar(&back);
    assert!(text.contains("3/10 rolling back"), "{text}");
}
