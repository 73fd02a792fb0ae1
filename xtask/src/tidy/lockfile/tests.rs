//! Banned packages are found when a build contains them.

use super::check;

const LOCK: &str = "[[package]]\nname = \"ring\"\nversion = \"0.17.14\"\n";

#[test]
fn a_banned_package_that_is_built_is_found() {
    let found = check(LOCK, |_| Ok(true)).unwrap();
    assert_eq!(
        found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn one_that_is_only_listed_and_others_pass() {
    assert_eq!(check(LOCK, |_| Ok(false)).unwrap(), []);
    assert_eq!(
        check("[[package]]\nname = \"stringer\"\n", |_| Ok(true)).unwrap(),
        []
    );
}
