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

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_has_the_name_already_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sources = MasterKeySources::file(folder.path().join("master.key"));
    let orphan = sources.next((FILE, 2), &[], &rng(1)).unwrap();
    std::fs::write(folder.path().join("master.key.3"), "half of a k").unwrap();
    for version in [2, 3] {
        let next = sources.next(
            (FILE, version),
            &[[9; 32]],
            &rng(u64::from(version as u32) << 20),
        );
        let next = next.unwrap();
        let found = sources.find(FILE, (version, next.check_value())).unwrap();
        assert_eq!(found.check_value(), next.check_value());
        let name = format!(
            "master.key.{version}-{}",
            &hex::encode(next.check_value())[..16]
        );
        let place = sources.file_in_use((version, next.check_value()));
        assert_eq!(place, folder.path().join(name).display().to_string());
    }
    let names = names(folder.path());
    assert_eq!(names.len(), 4, "nothing was deleted or renamed: {names:?}");
    let left = sources.find(FILE, (2, orphan.check_value())).unwrap();
    assert_eq!(left.check_value(), orphan.check_value());
    let left = check_value_of_copy(&folder.path().join("master.key.2")).unwrap();
    assert_eq!(left, orphan.check_value(), "under its own name");
    let text = std::fs::read_to_string(folder.path().join("master.key.3")).unwrap();
    assert_eq!(text, "half of a k");
}

/// Another process was faster, and this one does not know of it: what it made may be in force.
#[test]
fn a_file_that_cannot_be_read_or_that_no_row_knows_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let sources = MasterKeySources::file(folder.path().join("master.key"));
    let in_force = sources.next((FILE, 2), &[], &rng(1)).unwrap();
    let path = folder.path().join("master.key.2");
    for mode in [0o600, 0o644] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
        sources
            .next((FILE, 2), &[], &rng(9 << 30))
            .unwrap_or_else(|error| {
                // The same draw gives the same name; that one is not overwritten either.
                assert!(error.to_string().contains("exists already"), "{error}");
                SoftwareMasterKey::generate(FILE, &rng(1))
            });
        let kept = check_value_of_copy(&path).unwrap();
        assert_eq!(kept, in_force.check_value());
    }
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn the_file_that_is_missing_is_named_beside_the_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let sources = MasterKeySources::file(folder.path().join("master.key"));
    sources.first(&rng(1)).unwrap();
    let second = sources.next((FILE, 2), &[], &rng(100)).unwrap();
    std::fs::remove_file(folder.path().join("master.key.2")).unwrap();
    let lost = sources.find(FILE, (2, second.check_value())).err().unwrap();
    assert!(matches!(lost, MasterKeySourceError::Other(_)), "{lost}");
    let text = lost.to_string();
    assert!(text.contains("master.key.2 is not there"), "{text}");
    assert!(text.contains("master.key is another master key"), "{text}");
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
