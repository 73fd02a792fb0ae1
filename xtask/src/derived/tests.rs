//! Differences are found, and the table makes sense.

use super::{DERIVED, first_difference};

#[test]
fn the_first_line_that_differs_is_told() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
    assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    assert_eq!(first_difference("", "a\n"), Some(1));
    assert_eq!(first_difference("a", "a\n"), Some(2));
}

#[test]
fn every_derived_file_has_a_place_of_its_own() {
    let mut outputs: Vec<&str> = DERIVED.iter().map(|derived| derived.output).collect();
    outputs.sort_unstable();
    outputs.dedup();
    assert_eq!(outputs.len(), DERIVED.len());
}
