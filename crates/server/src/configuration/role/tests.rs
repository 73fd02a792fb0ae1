//! Tests of `role`.

use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let pairs = pairs.iter();
    Settings(
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn refusal(role: Role, pairs: &[(&str, &str)]) -> String {
    role.check(&settings(pairs)).unwrap_err().to_string()
}

#[test]
fn a_core_starts_with_nothing_that_belongs_to_the_secure_service() {
    let core = ("CLM_CORE_DATABASE_URL", "postgres://core");
    Role::Core.check(&settings(&[core])).unwrap();
    for name in SECURE_ONLY.iter().chain(&ADMINISTRATORS).copied() {
        let refused = refusal(Role::Core, &[core, (name, "x")]);
        assert!(refused.contains(name), "{refused}");
        assert!(!refused.contains("'x'"), "the value is not repeated");
    }
}

#[test]
fn a_core_starts_without_the_credential_of_a_master_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let given = [
        ("CLM_CORE_DATABASE_URL", "postgres://core"),
        (CREDENTIALS, path),
    ];
    std::fs::write(directory.path().join("other"), "x").unwrap();
    Role::Core.check(&settings(&given)).unwrap();
    std::fs::write(directory.path().join("clm-master-key-next"), "x").unwrap();
    let refused = refusal(Role::Core, &given);
    assert!(refused.contains("clm-master-key-next"), "{refused}");
}

#[test]
fn a_secure_service_starts_with_nothing_that_belongs_to_the_core() {
    let secure = ("CLM_SECURE_DATABASE_URL", "postgres://secure");
    Role::Secure
        .check(&settings(&[secure, ("CLM_MASTER_KEY_FILE", "/k")]))
        .unwrap();
    for name in CORE_ONLY.iter().chain(&ADMINISTRATORS).copied() {
        let refused = refusal(Role::Secure, &[secure, (name, "x")]);
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn a_role_apart_needs_its_own_database() {
    for (role, name) in [
        (Role::Core, "CLM_CORE_DATABASE_URL"),
        (Role::Secure, "CLM_SECURE_DATABASE_URL"),
    ] {
        let refused = refusal(role, &[]);
        assert!(refused.contains(name), "{refused}");
    }
    Role::All.check(&settings(&[])).unwrap();
    let half = refusal(Role::All, &[("CLM_CORE_DATABASE_URL", "postgres://core")]);
    assert!(half.contains("set both"), "{half}");
}

#[test]
fn roles_are_known_by_their_words() {
    for role in [Role::All, Role::Secure, Role::Core] {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert!("Core".parse::<Role>().is_err());
}
