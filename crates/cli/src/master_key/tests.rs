//! Tests of `master_key`: shares are on disk, and as they were made, or nobody depends on them.

use std::cell::RefCell;

use clm_api_types::master_key::MasterKeyShare;
use uuid::Uuid;

use super::*;

/// SHA-256 of the first five lines of each share below.
const CHECKSUMS: [&str; 2] = [
    "027ce70d3c89fcf8abbf4fd191d694043db5038f38cf7f59bf640fc6c2cdda01",
    "4d2ea7ee0b63cf7191fa627d984bf677d57635c45b29cae55ca38ed7b13422e4",
];

#[test]
fn a_new_folder_is_durable_before_anything_is_in_it() {
    let above = tempfile::tempdir().unwrap();
    let out = above.path().join("shares");
    let synced = RefCell::new(Vec::new());
    let note = |folder: &Path| {
        assert!(out.is_dir(), "its name is there");
        synced.borrow_mut().push(folder.to_path_buf());
        Ok(())
    };
    make_folder(&out, note).unwrap();
    assert_eq!(*synced.borrow(), [above.path()]);
    let refuse = |_: &Path| Err(io::Error::from(io::ErrorKind::StorageFull));
    make_folder(&above.path().join("others"), refuse).unwrap_err();
    // One that was there need not be ours, nor the folder above it.
    make_folder(&out, refuse).unwrap();
}

fn made() -> MasterKeyShares {
    let share = |index: u8, checksum: &str| {
        let id = Uuid::from_u128(7);
        let digits = hex::encode([index; 32]);
        let text = format!(
            "clm-master-key-share version 1 shamir-gf256\nkey {id}\nset {id}\n\
             share {index} of 2, any 2 open\n{digits}\nsha256 {checksum}\n"
        );
        MasterKeyShare { index, text }
    };
    MasterKeyShares {
        share_set_id: Uuid::from_u128(7),
        expires_at: chrono::DateTime::UNIX_EPOCH,
        shares: vec![share(1, CHECKSUMS[0]), share(2, CHECKSUMS[1])],
    }
}

#[test]
fn what_was_written_is_read_back() {
    let out = tempfile::tempdir().unwrap();
    let made = made();
    let written = write_shares(out.path(), &made).unwrap();
    read_back(&written, &made).unwrap();
    // The medium keeps another bit than it was given.
    let text = fs::read_to_string(&written[1]).unwrap();
    fs::write(&written[1], text.replace("0202", "0203")).unwrap();
    let error = read_back(&written, &made).unwrap_err().to_string();
    assert!(error.contains("does not hold what was written"), "{error}");
    fs::remove_file(&written[0]).unwrap();
    read_back(&written, &made).unwrap_err();
}
