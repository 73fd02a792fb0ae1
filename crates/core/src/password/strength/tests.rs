//! Tests of `password::strength`.

use super::*;

fn judged(password: &str, texts: &[&str]) -> Option<String> {
    let secret = SecretString::new(password.to_owned());
    let refused = check_strength(&secret, &own_words(texts), "new_password").err()?;
    assert_eq!(refused.0.violations[0].field, "new_password");
    assert!(
        !refused.0.message.contains(password),
        "{}",
        refused.0.message
    );
    Some(refused.0.code.into_owned())
}

#[test]
fn common_passwords_are_refused_whatever_their_length() {
    for password in [
        "password1234",
        "Password1234!",
        "qwertyuiopas",
        "123456789012",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "passwordpassword",
        "iloveyou2024",
    ] {
        let code = judged(password, &[]);
        assert_eq!(code.as_deref(), Some("password_too_common"), "{password}");
    }
}

#[test]
fn several_words_are_taken_without_composition_rules() {
    for password in [
        "correct horse battery staple",
        "tangerine orbits quietly",
        "zwölf grüne Teekannen",
        "8fqkz-2mwxn-ybtrd-p4h6c",
    ] {
        assert_eq!(judged(password, &[]), None, "{password}");
    }
}

#[test]
fn what_is_known_of_the_user_counts_for_little() {
    let texts = [
        "ada.lovelace",
        "ada@analytical-engines.example",
        "Analytical Engines",
    ];
    for password in [
        "lovelaceanalytical",
        "ada.lovelace1815",
        "analytical-engines",
    ] {
        assert!(judged(password, &texts).is_some(), "{password}");
    }
    assert_eq!(judged("tangerine orbits quietly", &texts), None);
}

#[test]
fn long_passwords_are_judged_by_their_beginning() {
    let long = "tangerine orbits quietly ".repeat(40);

    assert_eq!(judged(&long, &[]), None);
}

#[test]
fn words_are_split_lowered_and_bounded() {
    let words = own_words(&["Ada.Lovelace", "a@bc.example"]);
    assert_eq!(
        words,
        ["ada.lovelace", "ada", "lovelace", "a@bc.example", "example"]
    );
    assert_eq!(own_words(&["abc ".repeat(200).as_str()]).len(), 50);
}
