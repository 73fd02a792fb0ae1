//! Allowed edges pass, others are found with their line.

use std::path::Path;

use serde_json::{Value, json};

use super::check;
use crate::tidy::Finding;

const MANIFEST: &str = "[package]\nname = \"x\"\n\n[dependencies]\nclm-secure.workspace = true\n";

fn findings(folder: &str, name: &str, dependencies: &Value) -> Vec<Finding> {
    let manifest = format!("/root/crates/{folder}/Cargo.toml");
    let package = json!({
        "name": name, "manifest_path": manifest, "dependencies": dependencies,
    });
    let read = |path: &Path| {
        let path = path.strip_prefix("/root")?.to_string_lossy().into_owned();
        Ok((path, MANIFEST.to_owned()))
    };
    check(&json!({ "packages": [package] }), read).unwrap()
}

fn dependency(name: &str, kind: Option<&str>) -> Value {
    json!({ "name": name, "kind": kind, "path": format!("/root/crates/{name}") })
}

#[test]
fn listed_edges_and_foreign_crates_pass() {
    let foreign = json!({ "name": "serde", "kind": null, "path": null });
    let dependencies = json!([dependency("clm-domain", None), foreign]);
    assert_eq!(findings("pki", "clm-pki", &dependencies), []);
}

#[test]
fn other_edges_are_found_with_their_line() {
    let found = findings("core", "clm-core", &json!([dependency("clm-secure", None)]));
    let [finding] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (finding.path.as_str(), finding.line),
        ("crates/core/Cargo.toml", 5)
    );
    assert!(
        finding.advice.contains("may not depend on `clm-secure`"),
        "{finding}"
    );
}

#[test]
fn test_support_is_for_tests_only() {
    let for_tests = json!([dependency("clm-test-support", Some("dev"))]);
    assert_eq!(findings("core", "clm-core", &for_tests), []);
    let normal = findings(
        "core",
        "clm-core",
        &json!([dependency("clm-test-support", None)]),
    );
    assert!(
        normal
            .iter()
            .any(|finding| finding.advice.contains("dev-dependencies")),
        "{normal:?}"
    );
    let other = findings(
        "core",
        "clm-core",
        &json!([dependency("clm-secure", Some("dev"))]),
    );
    assert_eq!(
        other.len(),
        1,
        "tests of the core do not reach into the Secure Service either"
    );
}

#[test]
fn unknown_crates_and_misplaced_ones_are_found() {
    assert_eq!(findings("misc", "clm-misc", &json!([])).len(), 1);
    assert_eq!(findings("x509", "clm-pki", &json!([])).len(), 1);
}

#[test]
fn the_table_has_no_cycle() {
    let reach = |from: &str| {
        let mut seen: Vec<&str> = Vec::new();
        let mut next = vec![from];
        while let Some(package) = next.pop() {
            let edges = super::ALLOWED.iter().filter(|(name, _)| *name == package);
            for edge in edges.flat_map(|(_, allowed)| allowed.iter().copied()) {
                if !seen.contains(&edge) {
                    seen.push(edge);
                    next.push(edge);
                }
            }
        }
        seen
    };
    for (package, _) in super::ALLOWED {
        assert!(
            !reach(package).contains(&package),
            "{package} reaches itself"
        );
    }
}
