//! From two prepared databases to a certificate, with the commands that an operator types.

use clm_tests::Apart;
use serde_json::{Value, json};

use crate::support::{CERTIFICATE_REQUESTS, Requester};

/// The peers as `clm pair list` tells them, newest first: name and state.
fn peers(apart: &Apart) -> Vec<(String, String)> {
    let listed = apart.on_secure(&["pair", "list", "--output", "json"], "");
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let text = |peer: &Value, name: &str| peer[name].as_str().unwrap().to_owned();
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|peer| (text(peer, "name"), text(peer, "state")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_was_paired_issues_lists_and_exports() {
    let apart = Apart::start().await;
    assert_eq!(peers(&apart), [("core-1".to_owned(), "paired".to_owned())]);
    let requester = Requester::at(&apart.url, &apart.furnish().await);
    let asked = json!({
        "subject": "CN=one.example",
        "subject_alternative_names": ["DNS:one.example"],
        "key_algorithm": "ecdsa-p256",
    });
    let issued = requester
        .post(CERTIFICATE_REQUESTS, &asked)
        .await
        .expect(201);
    let id = issued.id("/certificate/id");
    let listed = requester.get("/api/v1/certificates").await.expect(200);
    let names = listed.body["items"].as_array().unwrap().iter();
    assert!(
        names.clone().any(|found| found["id"] == json!(id)),
        "{listed:?}"
    );
    let export = format!("/api/v1/certificates/{id}/private-key-export");
    let passphrase = json!({ "passphrase": "correct horse battery staple" });
    let exported = requester.post(&export, &passphrase).await.expect(200);
    let pem = exported.body["encrypted_private_key_pem"].as_str().unwrap();
    assert!(
        pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "{pem}"
    );
    let ready = requester.get("/readyz").await.expect(200);
    assert!(ready.text.contains("master_key"), "{ready:?}");

    // The core's host is not where the master key is looked for, nor where its backup is told.
    let doctor = apart.on_core(&["doctor", "--output", "json"], "");
    assert!(doctor.status.success(), "{doctor:?}");
    let advice = String::from_utf8_lossy(&doctor.stdout);
    assert!(
        advice.contains("on the host of the Secure Service"),
        "{advice}"
    );
    let said = std::fs::read_to_string(apart.core.directory.path().join("stdout")).unwrap();
    assert!(
        said.contains("master key version 1") && !said.contains("back up"),
        "{said}"
    );
    let said = std::fs::read_to_string(apart.secure.directory.path().join("stdout")).unwrap();
    assert!(said.contains("back up"), "{said}");
}
