//! Tests of `layout`.

use std::path::PathBuf;

use clm_domain::clock::random_bytes;

use super::*;
use crate::SystemRng;

/// A directory that goes when the test ends.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = hex::encode(random_bytes::<8>(&SystemRng));
        let path = std::env::temp_dir().join(format!("clm-layout-{name}"));
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_for_another_purpose_stays_as_it_is() {
    let place = Place::new();
    fs::write(place.join("fstab"), "").unwrap();
    set_mode(&place.0, 0o755);
    let said = make_private_directory(&place.0, None, MARKS)
        .unwrap_err()
        .to_string();
    assert!(said.contains("CLM_DATA_DIR"), "{said}");
    assert_eq!(mode(&place.0), 0o755);

    fs::write(place.join("clm.lock"), "").unwrap();
    make_private_directory(&place.0, None, MARKS).unwrap();
    assert_eq!(mode(&place.0), 0o700);
}

#[test]
fn an_empty_or_missing_directory_is_taken() {
    let place = Place::new();
    fs::create_dir(place.join(LOST_AND_FOUND)).unwrap();
    make_private_directory(&place.0, None, MARKS).unwrap();
    let fresh = place.join("deep/fresh");
    make_private_directory(&fresh, None, MARKS).unwrap();
    assert_eq!(mode(&fresh), 0o700);
}

#[test]
fn a_link_is_not_followed() {
    let place = Place::new();
    let target = place.join("target");
    fs::create_dir(&target).unwrap();
    set_mode(&target, 0o755);
    let link = place.join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let said = make_private_directory(&link, None, MARKS)
        .unwrap_err()
        .to_string();
    assert!(said.contains("symbolic link"), "{said}");
    let slash = PathBuf::from(format!("{}/", link.display()));
    assert!(Layout::prepare(&slash, None).is_err());
    assert_eq!(mode(&target), 0o755);
}

#[test]
fn configuration_is_read_only_where_nobody_else_can_write() {
    let place = Place::new();
    let path = place.join("clm.toml");
    assert_eq!(read_configuration(&path).unwrap(), None);
    fs::write(&path, "log = \"info\"\n").unwrap();
    set_mode(&path, 0o600);
    assert!(read_configuration(&path).unwrap().is_some());
    set_mode(&path, 0o620);
    assert!(read_configuration(&path).is_err());
    set_mode(&path, 0o600);
    set_mode(&place.0, 0o770);
    let said = read_configuration(&path).unwrap_err().to_string();
    assert!(said.contains("environment"), "{said}");
    assert_eq!(read_configuration(&path.join("clm.toml")).unwrap(), None);
}

#[test]
fn root_reads_no_configuration_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const STRANGER: u32 = 54_321;
    let place = Place::new();
    let path = place.join("clm.toml");
    fs::write(&path, "pg_bin = \"/tmp\"\n").unwrap();
    std::os::unix::fs::chown(&place.0, Some(STRANGER), None).unwrap();
    assert!(read_configuration(&path).is_err());
    assert!(refuse_if_others_can_write(&place.0).is_err());
    assert!(Existing::find(&place.0).is_err());
}

#[test]
fn a_second_name_of_a_file_is_refused() {
    let place = Place::new();
    let path = place.join("clm.lock");
    fs::write(&path, "").unwrap();
    refuse_foreign_file(&File::open(&path).unwrap(), &path).unwrap();
    fs::hard_link(&path, place.join("other")).unwrap();
    assert!(refuse_foreign_file(&File::open(&path).unwrap(), &path).is_err());
    refuse_foreign_file(&File::open(&place.0).unwrap(), &place.0).unwrap_err();
}
