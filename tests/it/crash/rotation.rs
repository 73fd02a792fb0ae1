//! A rotation of a data key whose process is killed again and again: it goes on where it stood, and
//! in the end every private key opens, under exactly one version.

use std::time::{Duration, Instant};

use clm_domain::clock::random_bytes;
use clm_test_support::SeededRng;
use clm_tests::databases::Superuser;
use clm_tests::{Program, Soak};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{CERTIFICATE_REQUESTS, Requester};

/// The path of rotations.
const KEY_ROTATIONS: &str = "/api/v1/key-rotations";
/// Clients that make keys at once.
const CLIENTS: usize = 8;
/// How long a process may take to move anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is rotated, and how often it is interrupted.
struct Extent {
    keys: i64,
    kills: u32,
}

impl Extent {
    const fn of(soak: Soak) -> Self {
        match soak.rounds {
            0..=3 => Self {
                keys: 2_000,
                kills: 2,
            },
            rounds => Self {
                keys: 100_000,
                kills: rounds / 2,
            },
        }
    }

    /// So slow that the kills find it under way, whatever the machine.
    fn items_per_second_max(&self) -> i64 {
        self.keys / (4 * i64::from(self.kills))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_outlives_its_process() {
    let soak = Soak::announce();
    let extent = Extent::of(soak);
    let moments = SeededRng::new(soak.seed);
    let mut program = Program::start();
    let mut requester = Requester::of(&program).await;
    make_keys(&requester, extent.keys).await;

    let wish = json!({
        "rotation_type": "manual",
        "reason": "a test of interruptions",
        "items_per_second_max": extent.items_per_second_max(),
    });
    let started = requester.post(KEY_ROTATIONS, &wish).await.body;
    let id: Uuid = text(&started, "id").parse().unwrap();
    let total = started["items_total"].as_i64().unwrap();
    assert!(total >= extent.keys, "{started}");

    let mut moved = 0;
    for kill in 0..extent.kills {
        moved = wait_for_progress(&Superuser::of(&program), id, moved).await;
        let random = u16::from_le_bytes(random_bytes(&moments)) % 1_000;
        tokio::time::sleep(Duration::from_millis(random.into())).await;
        program.kill();
        program.serve();
        let (status, processed) = progress(&Superuser::of(&program), id).await;
        assert_eq!(status, "in_progress", "kill {kill} came too late");
        assert!(processed >= moved, "kill {kill} took progress back");
        println!("kill {kill}: {processed} of {total}");
        moved = processed;
    }
    requester.move_to(&program);
    let records = Superuser::of(&program);
    wait_for_progress(&records, id, moved).await;
    lift_throttle(&records, id).await;
    records.finish_rotations().await;

    let rotation = requester.get(&format!("{KEY_ROTATIONS}/{id}")).await.body;
    assert_eq!(rotation["status"], "completed", "{rotation}");
    assert_eq!(rotation["items_processed"], total, "{rotation}");
    assert_eq!(rotation["items_failed"], 0, "{rotation}");
    assert_eq!(rotation["reason"], wish["reason"]);
    check_one_version(&records, &rotation, total).await;
    check_every_key_opens(&requester, &records, total).await;
    assert!(program.stop("TERM"), "{}", program.read_log());
}

/// Has the platform make and keep private keys.
async fn make_keys(requester: &Requester, count: i64) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let requester = requester.clone();
        clients.spawn(async move {
            for number in (client..usize::try_from(count).unwrap()).step_by(CLIENTS) {
                let body = json!({
                    "key_algorithm": "ecdsa-p256",
                    "subject_alternative_names": [format!("DNS:k{number}.example")],
                });
                let answer = requester.post(CERTIFICATE_REQUESTS, &body).await;
                assert_eq!(answer.status, 201, "{answer:?}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// Waits until more than `before` keys have moved; how many.
async fn wait_for_progress(records: &Superuser, id: Uuid, before: i64) -> i64 {
    let begun = Instant::now();
    loop {
        let (status, processed) = progress(records, id).await;
        if processed > before {
            return processed;
        }
        assert!(
            status == "in_progress" && begun.elapsed() < PATIENCE,
            "{status} at {processed}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets the rest move as fast as it goes.
async fn lift_throttle(records: &Superuser, id: Uuid) {
    sqlx::query("UPDATE key_rotation_history SET items_per_second_max = NULL WHERE id = $1")
        .bind(id)
        .execute(&records.secure)
        .await
        .unwrap();
}

async fn progress(records: &Superuser, id: Uuid) -> (String, i64) {
    sqlx::query_as("SELECT status, items_processed FROM key_rotation_history WHERE id = $1")
        .bind(id)
        .fetch_one(&records.secure)
        .await
        .unwrap()
}

/// All keys of the organization are sealed under the new version, and the old one is retired.
async fn check_one_version(records: &Superuser, rotation: &Value, total: i64) {
    let sealed: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT encryption_key_id, count(*) FROM private_keys
         WHERE organization_id = $1 GROUP BY encryption_key_id",
    )
    .bind(text(rotation, "organization_id").parse::<Uuid>().unwrap())
    .fetch_all(&records.secure)
    .await
    .unwrap();
    let new: Uuid = text(rotation, "new_encryption_key_id").parse().unwrap();
    assert_eq!(sealed, [(new, total)]);
    let old: String = sqlx::query_scalar("SELECT status FROM encryption_keys WHERE id = $1")
        .bind(
            text(rotation, "old_encryption_key_id")
                .parse::<Uuid>()
                .unwrap(),
        )
        .fetch_one(&records.secure)
        .await
        .unwrap();
    assert_eq!(old, "retired");
}

/// A further rotation opens each of them: it counts and names what does not open.
async fn check_every_key_opens(requester: &Requester, records: &Superuser, total: i64) {
    let wish = json!({ "rotation_type": "emergency" });
    let started = requester.post(KEY_ROTATIONS, &wish).await.body;
    let path = format!("{KEY_ROTATIONS}/{}", text(&started, "id"));
    records.finish_rotations().await;
    let ended = requester.get(&path).await.body;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["items_processed"], total, "{ended}");
    assert_eq!(ended["items_failed"], 0, "{ended}");
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
}
