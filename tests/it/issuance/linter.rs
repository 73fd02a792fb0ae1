//! pkilint, the judge from outside, on many certificates in one process.

use std::path::Path;
use std::process::Command;

use crate::support::judges;

/// Runs the linter's own program once for each file; a line with its exit code follows its output.
const DRIVER: &str = "\
import sys
from pkilint.bin import lint_pkix_cert
for file in sys.argv[1:]:
    code = lint_pkix_cert.main(['lint', '--severity', 'ERROR', '--format', 'TEXT', file])
    print('clm-test', code, file, flush=True)
";

/// What the linter holds against names that are right: RFC 9525 §6.3 has wildcards, and the scheme
/// of a URI may be any (RFC 3986 §3.1).
const MISJUDGED: [&str; 2] = [
    r#"Invalid domain name syntax: "*."#,
    r#"Invalid URI syntax: "spiffe://"#,
];

/// Errors that the linter finds in certificates, with their files, each of which holds one
/// certificate.
fn errors(directory: &Path, files: &[String]) -> Vec<String> {
    let environment = judges::directory("lint_pkix_cert");
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
    let mut judged = files.iter();
    let mut found = Vec::new();
    let mut findings = Vec::new();
    for line in text.lines() {
        if line.contains("(ERROR)") || line.contains("(FATAL)") {
            findings.push(line.trim().to_owned());
        }
        let Some(verdict) = line.strip_prefix("clm-test ") else {
            continue;
        };
        let file = judged.next().expect("one verdict for each file");
        // The code is the number of findings, or 1 for a file that cannot be read.
        let code = findings.len().min(255);
        assert_eq!(verdict, format!("{code} {file}"), "{text}{problems}");
        let known = |finding: &String| MISJUDGED.iter().any(|known| finding.contains(known));
        findings.retain(|finding| !known(finding));
        found.extend(
            findings
                .drain(..)
                .map(|finding| format!("{file}: {finding}")),
        );
    }
    assert_eq!(
        judged.next(),
        None,
        "not every file was judged: {text}{problems}"
    );
    found
}

/// The linter finds neither an error nor anything fatal in these files, and can find some.
pub(super) fn accepts(directory: &Path, files: &[String]) {
    assert!(!files.is_empty());
    let spoilt = spoilt(directory);
    let fault = errors(directory, &[spoilt]);
    assert!(!fault.is_empty(), "the linter finds no fault in anything");
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
