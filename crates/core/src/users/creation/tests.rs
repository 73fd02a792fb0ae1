//! Tests of `users::creation`.

use super::*;
use crate::test_values::CountingRng;

#[test]
fn generated_passwords_are_long_different_and_readable() {
    let rng = CountingRng::default();
    let first = generated_password(&rng);
    let second = generated_password(&rng);

    assert_eq!(first.expose().len(), 23);
    assert_ne!(first.expose(), second.expose());
    assert_eq!(first.expose().split('-').count(), 4);
    assert!(first.expose().split('-').all(|group| group.len() == 5));
}
