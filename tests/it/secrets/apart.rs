//! A core in a process of its own has nothing of the Secure Service: neither in its memory nor in its
//! environment, files or connections, after it has done its work.

use std::fs::{self, File};
use std::io::Read as _;
use std::io::{Seek as _, SeekFrom};

use clm_domain::actor::Actor;
use clm_domain::ids::SealedSecretId;
use clm_domain::secret::SecretBytes;
use clm_domain::states::SecretPurpose;
use clm_secure_api::SecureService as _;
use clm_secure_api::command::{Command, SealSecret};
use clm_tests::{Apart, Program};
use serde_json::json;
use uuid::Uuid;

use super::plants::Planted;
use super::search::Search;
use super::{files_below, keys};
use crate::apart::visitor::{Stolen, context};
use crate::support::{CERTIFICATE_REQUESTS, Requester};

const PAGE_BYTES: usize = 4_096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
/// How much of a memory is looked at in one piece.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Everything that a process has in memory now, in pieces that overlap by a page. Pages that were never
/// written to are left out.
fn memory(pid: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut pieces = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        let (begin, end) = range.split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut at = begin;
        let mut page = [0; PAGE_BYTES];
        let mut piece = Vec::new();
        memory.seek(SeekFrom::Start(at)).unwrap();
        while at < end {
            // A guard page, or one that is gone meanwhile.
            if memory.read_exact(&mut page).is_err() {
                at += PAGE_BYTES as u64;
                memory.seek(SeekFrom::Start(at)).unwrap();
                continue;
            }
            at += PAGE_BYTES as u64;
            if page == ZEROS || piece.len() >= PIECE_BYTES {
                if !piece.is_empty() {
                    pieces.push(std::mem::take(&mut piece));
                }
                if page == ZEROS {
                    continue;
                }
            }
            piece.extend_from_slice(&page);
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

/// What of it a process has in its memory and its environment.
fn found_in<'a>(search: &'a Search, program: &Program) -> Vec<(&'a str, &'static str)> {
    let mut places = memory(program.pid());
    places.push(fs::read(format!("/proc/{}/environ", program.pid())).unwrap());
    let mut found: Vec<_> = places.iter().flat_map(|bytes| search.find(bytes)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The password in the URL of a database.
fn password(program: &Program, setting: &str) -> String {
    let settings = program.environment.iter();
    let url = settings
        .into_iter()
        .find(|(name, _)| name == setting)
        .unwrap();
    let (_, rest) = url.1.split_once("://").unwrap();
    let (credential, _) = rest.split_once('@').unwrap();
    credential.split_once(':').unwrap().1.to_owned()
}

/// Certificates with keys of the platform, one of which is exported.
async fn work(requester: &Requester) {
    for algorithm in ["ecdsa-p256", "ed25519", "rsa-2048"] {
        let asked = json!({
            "subject_alternative_names": ["DNS:one.example"], "key_algorithm": algorithm,
        });
        let issued = requester
            .post(CERTIFICATE_REQUESTS, &asked)
            .await
            .expect(201);
        let id = issued.id("/certificate/id");
        let export = format!("/api/v1/certificates/{id}/private-key-export");
        let passphrase = json!({ "passphrase": "correct horse battery staple" });
        if algorithm == "ed25519" {
            requester.post(&export, &passphrase).await.expect(200);
        }
    }
    requester.get("/api/v1/certificates").await.expect(200);
    requester.get("/api/v1/encryption-keys").await.expect(200);
}

/// A secret for webhooks, which the core's process never saw.
async fn plant_secret(apart: &Apart, planted: &mut Planted) {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let organization = apart.databases().organization("default").await;
    let command = Command::SealSecret(SealSecret {
        sealed_secret_id: SealedSecretId::from_uuid(Uuid::from_u128(9)),
        purpose: SecretPurpose::Webhook,
        owner_id: organization,
        plaintext: SecretBytes::new(secret.to_vec()),
    });
    let client = Stolen::from(&apart.core).client();
    let context = context(organization.into(), Actor::System);
    client.call(context, command).await.unwrap();
    planted.secret("a secret for webhooks", secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_apart_holds_nothing_of_the_secure_service() {
    let mut apart = Apart::start().await;
    let requester = Requester::at(&apart.url, &apart.furnish().await);
    work(&requester).await;
    let mut planted = Planted::default();
    plant_secret(&apart, &mut planted).await;
    keys::open_all(&apart.secure, &apart.databases(), &mut planted).await;
    let secure_password = password(&apart.secure, "CLM_SECURE_DATABASE_URL");
    planted.secret("the credential of clm_secure_db", secure_password.as_str());
    assert!(planted.secrets.len() > 10, "{}", planted.secrets.len());

    let search = Search::new(&planted.secrets);
    let found = found_in(&search, &apart.core);
    assert!(found.is_empty(), "the core has {found:?}");
    for (place, bytes) in files_below(&apart.core.data_directory()) {
        let found = search.find(&bytes);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }

    // The same search finds what is there: the master key and the credential in the other process, and
    // the core's own credential in this one.
    let there = found_in(&search, &apart.secure);
    for name in ["the master key", "the credential of clm_secure_db"] {
        assert!(
            there.iter().any(|(found, _)| *found == name),
            "{name}: {there:?}"
        );
    }
    let mut own = Planted::default();
    let core_password = password(&apart.core, "CLM_CORE_DATABASE_URL");
    own.secret("the credential of clm_core_db", core_password.as_str());
    assert!(!found_in(&Search::new(&own.secrets), &apart.core).is_empty());

    // Nobody but the Secure Service is connected to its database.
    assert!(apart.secure.stop("TERM"));
    requester.get("/healthz").await.expect(200);
    let connected: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'clm_secure_user'",
    )
    .fetch_one(&apart.databases().secure)
    .await
    .unwrap();
    assert_eq!(connected, 0);
}
