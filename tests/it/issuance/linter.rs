//! pkilint, the judge from outside, on many certificates in one process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the linter's own program once for each file; a line with its exit code follows its output.
const DRIVER: &str = "\
import sys
from pkilint.bin import lint_pkix_cert
for file in sys.argv[1:]:
    code = lint_pkix_cert.main(['lint', '--severity', 'ERROR', '--format', 'TEXT', file])
    print('clm-test', code, file, flush=True)
";

/// Where `scripts/ensure-lint-tools.sh` puts the linter.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin")
}

/// Errors that the linter finds in certificates, by file; each file holds one certificate.
fn errors(directory: &Path, files: &[String]) -> Vec<String> {
    let environment = environment();
    let unavailable = std::fs::read_to_string(environment.join("../../venv-unavailable.txt"));
    assert!(
        environment.join("lint_pkix_cert").exists(),
        "pkilint is not installed: run scripts/ensure-lint-tools.sh. {}",
        unavailable.unwrap_or_default()
    );
    let output = Command::new(environment.join("python"))
        .args(["-c", DRIVER])
        .args(files)
        .current_dir(directory)
        .output()
        .expect("the linter starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the linter failed: {text}{problems}"
    );
    let verdicts: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("clm-test "))
        .collect();
    assert_eq!(
        verdicts.len(),
        files.len(),
        "not every file was judged: {text}{problems}"
    );
    let bad = verdicts
        .iter()
        .filter(|line| !line.starts_with("clm-test 0 "));
    bad.map(|line| format!("{line}: {text}{problems}"))
        .collect()
}

/// The linter finds neither an error nor anything fatal in these files, and can find some.
pub(super) fn accepts(directory: &Path, files: &[String]) {
    assert!(!files.is_empty());
    let spoilt = spoilt(directory);
    assert_eq!(
        errors(directory, &[spoilt]).len(),
        1,
        "the linter finds no fault in anything"
    );
    let found = errors(directory, files);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A certificate with a negative serial number.
fn spoilt(directory: &Path) -> String {
    let file = "spoilt.pem";
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-subj",
        "/CN=spoilt",
        "-set_serial",
        "-5",
        "-out",
        file,
    ];
    clm_tests::openssl::expect(directory, &arguments);
    file.to_owned()
}
