//! Tests of `file`.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU8, Ordering};

use clm_domain::secret::SecretBytes;

use super::*;
use crate::master_key::{MasterKeyError, MasterKeyProvider};

struct CountingRng(AtomicU8);

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn rng(start: u8) -> CountingRng {
    CountingRng(AtomicU8::new(start))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_created_key_is_loaded_again() {
    let folder = folder();
    let path = folder.path().join("master.key");
    let created = FileMasterKey::create(&path, &rng(1)).unwrap();
    let loaded = FileMasterKey::load(&path).unwrap();
    assert_eq!(created.check_value(), loaded.check_value());
    let wrapped = created
        .wrap(&SecretBytes::new(vec![9; 32]), b"row", &rng(0))
        .unwrap();
    assert_eq!(loaded.unwrap(&wrapped, b"row").unwrap().expose(), [9; 32]);
    assert_eq!(
        loaded.unwrap(&wrapped, b"other row").unwrap_err(),
        MasterKeyError::Refused
    );
}

#[test]
fn only_the_owner_may_read_the_file() {
    let folder = folder();
    let path = folder.path().join("master.key");
    FileMasterKey::create(&path, &rng(1)).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for open_to_others in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open_to_others)).unwrap();
        let refused = FileMasterKey::load(&path);
        let Err(MasterKeyFileError::OpenToOthers { mode, .. }) = refused else {
            panic!("accepted")
        };
        assert_eq!(mode, open_to_others);
    }
}

#[test]
fn a_key_of_somebody_else_is_refused() {
    assert!(super::may_hold(1_000, 1_000));
    assert!(
        super::may_hold(1_000, 0),
        "root administers every installation"
    );
    assert!(!super::may_hold(1_000, 1_001));
    assert!(!super::may_hold(0, 1_001));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let folder = folder();
    let path = folder.path().join("master.key");
    std::fs::write(&path, "something").unwrap();
    assert!(matches!(
        FileMasterKey::create(&path, &rng(1)),
        Err(MasterKeyFileError::Exists(_))
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "something");
}

#[test]
fn every_cut_and_every_changed_byte_is_noticed() {
    let folder = folder();
    let path = folder.path().join("master.key");
    FileMasterKey::create(&path, &rng(1)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(FileMasterKey::load(&path).is_err(), "cut to {length} bytes");
    }
    for position in 0..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(
            FileMasterKey::load(&path).is_err(),
            "byte {position} changed"
        );
    }
    std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(matches!(
        FileMasterKey::load(&path),
        Err(MasterKeyFileError::Malformed { .. })
    ));
}

#[test]
fn a_missing_file_a_link_and_a_folder_are_told_apart() {
    let folder = folder();
    let path = folder.path().join("master.key");
    assert!(matches!(
        FileMasterKey::load(&path),
        Err(MasterKeyFileError::Missing(_))
    ));
    let other = folder.path().join("other.key");
    FileMasterKey::create(&other, &rng(1)).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert!(matches!(
        FileMasterKey::load(&path),
        Err(MasterKeyFileError::NotRegular(_))
    ));
    assert!(matches!(
        FileMasterKey::load(folder.path()),
        Err(MasterKeyFileError::NotRegular(_))
    ));
}

#[test]
fn an_error_holds_no_key_material() {
    let folder = folder();
    let path = folder.path().join("master.key");
    FileMasterKey::create(&path, &rng(1)).unwrap();
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("sha256 ", "sha256 0");
    std::fs::write(&path, text).unwrap();
    let error = FileMasterKey::load(&path).err().unwrap();
    assert!(
        !format!("{error} {error:?}").contains("010203"),
        "{error:?}"
    );
}
