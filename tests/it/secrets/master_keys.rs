//! The master key is split, opened, sealed and moved, so that shares and further keys pass through.

use crate::support::split_master_key;
use std::path::{Path, PathBuf};

use clm_tests::Program;

use super::plants::Planted;

/// Plants the shares of a set, and the key of the file that comes after it.
pub(super) fn plant(program: &Program, planted: &mut Planted) {
    let out = program.directory.path().join("shares");
    let out = out.to_str().expect("a path is text");
    clm(program, &split_master_key(out));
    let mut shares: Vec<PathBuf> = std::fs::read_dir(out)
        .expect("the shares were written")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    shares.sort();
    assert_eq!(shares.len(), 3);
    for (index, share) in shares.iter().enumerate() {
        planted.secret(format!("share {index}"), digits(share, 4));
    }
    clm(
        program,
        &[
            "key",
            "master",
            "confirm-backup",
            "--file",
            path(&shares[0]),
            "--file",
            path(&shares[1]),
        ],
    );
    clm(program, &["seal"]);
    for share in [&shares[2], &shares[2], &shares[0]] {
        clm(program, &["unseal", "--share", path(share)]);
    }
    // Too late, and so refused.
    let refused = program.cli(&["unseal", "--share", path(&shares[1])]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    clm(program, &["key", "master", "rotate", "--to", "file"]);
    let key = program.state_directory().join("master.key.3");
    planted.secret("the third master key", digits(&key, 1));
    clm(
        program,
        &["key", "master", "confirm-backup", "--file", path(&key)],
    );
}

fn digits(file: &Path, line: usize) -> Vec<u8> {
    let text = std::fs::read_to_string(file).expect("it is text");
    let line = text.lines().nth(line).expect("it has the line");
    let bytes = hex::decode(line).expect("the line is hexadecimal");
    assert_eq!(bytes.len(), 32);
    bytes
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path is text")
}

fn clm(program: &Program, arguments: &[&str]) {
    let output = program.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}
