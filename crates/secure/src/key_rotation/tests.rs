//! Tests of `key_rotation`: what follows from a batch. What the databases hold is looked at in
//! `tests/it/key_rotation`.

use clm_domain::states::KeyRotationType;
use uuid::Uuid;

use super::progress::{Next, Progress};
use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn due(items_per_second_max: Option<u32>) -> DueRotation {
    let id = Uuid::from_u128(1);
    DueRotation {
        id: id.into(),
        organization_id: id.into(),
        rotation_type: KeyRotationType::Manual,
        from: id.into(),
        to: Uuid::from_u128(2).into(),
        old: id.into(),
        is_rollback: false,
        items_per_second_max,
        turned_at: at(0),
    }
}

#[test]
fn the_throttle_makes_batches_of_at_most_a_second() {
    for (rate, items, pause) in [
        (None, 500, 0),
        (Some(1), 1, 1_000),
        (Some(100), 100, 1_000),
        (Some(2_000), 500, 250),
    ] {
        let plan = plan(&due(rate), at(7));
        assert_eq!(plan.items_max, items, "{rate:?}");
        let expected = at(7) + TimeDelta::milliseconds(pause);
        assert_eq!(plan.next_batch_at, expected, "{rate:?}");
        assert_eq!(plan.settled_at, at(SETTLE_SECONDS));
    }
}

#[test]
fn only_a_pass_that_began_after_the_wait_is_the_last() {
    let id = Some(Uuid::from_u128(9));
    let early = Progress::default().advance(&plan(&due(None), at(1)), &[], (id, false));
    assert_eq!(early.outcome(3), BatchOutcome::PassEnded(3));
    assert_eq!((early.cursor, early.pass_started_at), (None, None));
    assert_eq!(early.next_batch_at, at(SETTLE_SECONDS));

    // A pass that goes on for longer than the wait began before it all the same.
    let progress = Progress {
        cursor_private_key_id: id,
        pass_started_at: Some(at(1)),
        ..Progress::default()
    };
    let late = plan(&due(None), at(SETTLE_SECONDS + 1));
    let long = progress.advance(&late, &[], (None, false));
    assert_eq!(long.outcome(0), BatchOutcome::PassEnded(0));

    let last = Progress::default().advance(&late, &[], (None, false));
    assert_eq!(last.outcome(0), BatchOutcome::LastPassEnded(0));
}

#[test]
fn each_pass_counts_what_does_not_open_anew() {
    let plan = plan(&due(None), at(SETTLE_SECONDS));
    let failed = [Uuid::from_u128(4), Uuid::from_u128(5)];
    let before = Progress {
        items_failed: 2,
        error_message: Some("of the pass before".to_owned()),
        ..Progress::default()
    };
    let first = before.advance(&plan, &failed[..1], (Some(failed[0]), true));
    assert_eq!(first.items_failed, 1);
    let second = resumed(first).advance(&plan, &failed[1..], (Some(failed[1]), false));
    assert_eq!(second.items_failed, 2);
    let expected = format!("items that do not open: {}, {}", failed[0], failed[1]);
    assert_eq!(second.error_message, Some(expected));
}

#[test]
fn the_error_message_is_bounded() {
    let plan = plan(&due(None), at(0));
    let failed: Vec<Uuid> = (1..=500).map(Uuid::from_u128).collect();
    let mut progress = Progress::default();
    for _ in 0..3 {
        let next = progress.advance(&plan, &failed, (failed.last().copied(), true));
        progress = resumed(next);
    }
    assert_eq!(progress.items_failed, 1_500);
    let message = progress.error_message.unwrap();
    assert!(
        message.len() < 4_096 && message.ends_with("and more"),
        "{message}"
    );
    assert_eq!(message.matches("00000000-0000").count(), 50);
}

fn resumed(next: Next) -> Progress {
    Progress {
        cursor_private_key_id: next.cursor,
        pass_started_at: next.pass_started_at,
        items_failed: next.items_failed,
        error_message: next.error_message,
    }
}
