//! Tests of `delivery`.

use chrono::Duration;

use super::{ATTEMPTS_MAX, pause_after};

#[test]
fn pauses_double_up_to_an_hour_and_end_within_five_hours() {
    assert_eq!(pause_after(1), Duration::seconds(5));
    assert_eq!(pause_after(2), Duration::seconds(10));
    assert_eq!(pause_after(10), Duration::seconds(2_560));
    assert_eq!(pause_after(11), Duration::hours(1));
    assert_eq!(pause_after(i32::MAX), Duration::hours(1));
    let all: Duration = (1..ATTEMPTS_MAX).map(pause_after).sum();
    assert!(
        (Duration::hours(4)..Duration::hours(5)).contains(&all),
        "{all}"
    );
}
