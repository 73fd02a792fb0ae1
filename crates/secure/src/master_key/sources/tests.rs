//! Tests of `sources`.

use super::super::conformance::CountingRng;
use super::*;

const FILE: MasterKeyProviderKind = MasterKeyProviderKind::File;
const ENVIRONMENT: MasterKeyProviderKind = MasterKeyProviderKind::Environment;

fn rng(start: u64) -> CountingRng {
    CountingRng::new(start)
}

fn digits(digit: &str) -> Option<SecretString> {
    Some(SecretString::new(digit.repeat(64)))
}

#[test]
fn the_next_file_stands_beside_the_first_and_both_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let sources = MasterKeySources::file(folder.path().join("master.key"));
    let first = sources.first(&rng(1)).unwrap();
    let known = [first.check_value()];
    let second = sources.next((FILE, 2), &known, &rng(100)).unwrap();
    assert!(folder.path().join("master.key.2").exists());
    for (version, key) in [(1, &first), (2, &second)] {
        let found = sources.find(FILE, (version, key.check_value())).unwrap();
        assert_eq!(found.check_value(), key.check_value());
    }
    // The operator may put the new one where the old one was.
    std::fs::rename(folder.path().join("master.key.2"), &sources.file).unwrap();
    assert!(sources.find(FILE, (2, second.check_value())).is_ok());
    let other = sources.find(FILE, (1, first.check_value()));
    assert!(matches!(other, Err(MasterKeySourceError::Other(_))));
}

#[test]
fn what_a_rotation_left_is_put_aside_and_what_was_in_force_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let sources = MasterKeySources::file(folder.path().join("master.key"));
    let orphan = sources.next((FILE, 2), &[], &rng(1)).unwrap();
    std::fs::write(folder.path().join("master.key.3"), "half of a k").unwrap();
    for version in [2, 3] {
        sources
            .next(
                (FILE, version),
                &[[9; 32]],
                &rng(u64::from(version as u32) << 20),
            )
            .unwrap();
    }
    let names = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "nothing was deleted: {names:?}");
    let aside = names
        .iter()
        .find(|name| name.starts_with("master.key.2.unused-"));
    let aside = folder.path().join(aside.unwrap());
    assert_eq!(check_value_of_copy(&aside).unwrap(), orphan.check_value());

    let known = FileMasterKey::load(&sources.file_of(2))
        .unwrap()
        .check_value();
    let refused = sources.next((FILE, 2), &[known], &rng(9 << 30));
    assert!(matches!(refused, Err(MasterKeySourceError::Known(_))));
}

#[test]
fn the_next_variable_is_taken_unless_it_was_in_force_before() {
    let mut sources = MasterKeySources {
        environment: [digits("a"), None],
        first: Some(ENVIRONMENT),
        ..MasterKeySources::file("/nonexistent".into())
    };
    let first = sources.first(&rng(1)).unwrap();
    let known = [first.check_value()];
    let absent = sources
        .next((ENVIRONMENT, 2), &known, &rng(1))
        .err()
        .unwrap();
    assert!(
        absent.to_string().contains("CLM_MASTER_KEY_NEXT"),
        "{absent}"
    );
    sources.environment[1] = digits("a");
    let used = sources.next((ENVIRONMENT, 2), &known, &rng(1));
    assert!(matches!(used, Err(MasterKeySourceError::Known(_))));
    sources.environment[1] = digits("g");
    let malformed = sources
        .next((ENVIRONMENT, 2), &known, &rng(1))
        .err()
        .unwrap();
    assert!(!malformed.to_string().contains("gg"), "{malformed}");
    sources.environment[1] = digits("b");
    let next = sources.next((ENVIRONMENT, 2), &known, &rng(1)).unwrap();
    // After the rotation either name will do.
    assert!(sources.find(ENVIRONMENT, (2, next.check_value())).is_ok());
    sources.environment = [digits("b"), None];
    assert!(sources.find(ENVIRONMENT, (2, next.check_value())).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = MasterKeySources::file(folder.path().join("master.key"));
    let says = |error: Option<MasterKeySourceError>, word: &str| {
        let text = error.unwrap().to_string();
        assert!(text.contains(word), "{text}");
    };
    let credential = MasterKeyProviderKind::Credential;
    let find = |sources: &MasterKeySources, provider| sources.find(provider, (1, [0; 32])).err();
    says(find(&sources, FILE), "master.key does not exist");
    says(find(&sources, credential), "CREDENTIALS_DIRECTORY");
    says(find(&sources, ENVIRONMENT), "CLM_MASTER_KEY");
    says(find(&sources, MasterKeyProviderKind::Shamir), "clm unseal");
    sources.credentials_directory = Some(folder.path().to_owned());
    says(find(&sources, credential), "clm-master-key");
    sources.is_server = false;
    says(sources.first(&rng(1)).err(), "clm serve");
    assert!(!sources.file.exists(), "a command makes no key");
}

#[test]
fn a_key_that_was_handed_on_is_read_in_either_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let key = FileMasterKey::create(&path, &rng(1)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let digits = text.lines().nth(1).unwrap().to_owned();
    for form in [
        text.clone(),
        text.trim_end().to_owned(),
        digits,
        format!("\n{text}\n"),
    ] {
        let copy = folder.path().join("copy");
        std::fs::write(&copy, form).unwrap();
        assert_eq!(check_value_of_copy(&copy).unwrap(), key.check_value());
    }
    let broken = folder.path().join("broken");
    std::fs::write(&broken, text.replace("sha256 ", "sha256 0")).unwrap();
    assert!(check_value_of_copy(&broken).is_err());
}
