//! OpenSSL as the independent judge.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `openssl` in `directory`.
///
/// # Panics
/// When OpenSSL is not installed: `make test` installs it.
pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("openssl is installed")
}

/// Runs `openssl` and expects it to succeed; returns its standard output.
///
/// # Panics
/// When it fails.
pub fn expect(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A P-256 request for one DNS name, in PEM; the key is thrown away with `directory`.
///
/// # Panics
/// When OpenSSL fails.
pub fn csr(directory: &Path, host: &str) -> String {
    let (subject, name) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
    expect(
        directory,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "/dev/null",
            "-subj",
            &subject,
            "-addext",
            &name,
        ],
    )
}
