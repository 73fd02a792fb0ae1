//! Issuance from the outside: what requesters send, what they get, and what stays behind in both
//! databases. OpenSSL and pkilint are the judges.

mod authorities;
mod command_line;
mod linter;
mod planted_lint;
mod refusals;
mod requests;
mod rows;

use std::path::Path;

use clm_pki::pem;
use clm_tests::{Program, openssl};

/// Runs `clm`, which must succeed; returns its standard output.
fn clm(program: &Program, arguments: &[&str]) -> String {
    let output = program.cli(arguments);
    assert!(
        output.status.success(),
        "clm {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stderr),
        program.read_log()
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The certificates of a PEM file, in their order.
fn certificates(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read(path).unwrap();
    let blocks = pem::decode_all(&text, pem::CERTIFICATE_LABELS).unwrap();
    blocks.into_iter().map(|block| block.contents).collect()
}

/// OpenSSL accepts the chain in `chain`, leaf first, up to `root`.
fn verify(directory: &Path, root: &str, chain: &str) {
    let arguments = [
        "verify",
        "-x509_strict",
        "-CAfile",
        root,
        "-untrusted",
        chain,
        chain,
    ];
    let output = openssl::expect(directory, &arguments);
    assert_eq!(output.trim(), format!("{chain}: OK"));
}

/// The public key of a request (`req`) or certificate (`x509`), as OpenSSL sees it.
fn public_key(directory: &Path, command: &str, file: &str) -> String {
    openssl::expect(directory, &[command, "-in", file, "-noout", "-pubkey"])
}
