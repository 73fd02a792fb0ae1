//! What the roles of both databases may do: nothing across organizations for the program, nothing
//! but the audit logs for the auditor, no change of an audit row for anybody; and that the program
//! uses no other role.

mod audit_logs;
mod prepared;
mod seed_queries;
mod tenants;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clm_tests::Program;
use clm_tests::databases::PATIENCE;
use clm_tests::rest::{Call, Rest, bearer};
use serde_json::json;
use sqlx::{ConnectOptions, PgConnection};

use prepared::Prepared;

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_own_and_no_more() {
    let prepared = Prepared::make().await;
    for database in &prepared.databases {
        seed_queries::every_organization_has_rows_everywhere(database).await;
        tenants::without_an_organization_nothing_is_read(database).await;
        tenants::reading_stays_in_the_organization(database).await;
        tenants::writing_stays_in_the_organization(database).await;
        tenants::nothing_is_deleted(database).await;
        tenants::no_other_role_is_in_reach(database).await;
        audit_logs::partitions_cannot_be_addressed(database).await;
        audit_logs::nobody_changes_an_audit_row(database).await;
        audit_logs::the_auditor_reads_all_of_them_and_nothing_else(database).await;
    }
    tenants::each_user_has_one_database(&prepared).await;
    seed_queries::they_return_what_they_promise(&prepared).await;
}

/// Clients that keep the program busy while its connections are looked at.
const CLIENTS: usize = 6;
/// How often they are looked at, at least.
const LOOKS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn under_load_the_program_uses_its_two_roles_only() {
    let program = Program::start();
    let key = bearer(&program.api_key().await);
    let rest = Rest::of(&program);
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (rest, key, stop) = (rest.clone(), key.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut issued = 0;
                while !stop.load(Ordering::Relaxed) {
                    let body = json!({
                        "key_algorithm": "ecdsa-p256",
                        "subject_alternative_names": [format!("DNS:{issued}.{client}.example")],
                    });
                    let ask = Call::new("POST", "/api/v1/certificate-requests")
                        .by(&key)
                        .body(body);
                    rest.send(ask).await.expect(201);
                    let list = Call::new("GET", "/api/v1/certificate-requests?limit=10").by(&key);
                    rest.send(list).await.expect(200);
                    let list = Call::new("GET", "/api/v1/sessions?limit=10").by(&key);
                    rest.send(list).await.expect(200);
                    issued += 1;
                }
                issued
            })
        })
        .collect();
    let mut observer = program
        .admin("postgres")
        .connect()
        .await
        .expect("the superuser connects");
    let seen = watch(&mut observer).await;
    stop.store(true, Ordering::Relaxed);
    for client in load {
        assert!(
            client.await.expect("a client works") > 0,
            "a client did nothing"
        );
    }
    let wanted = [
        ("clm_core_user", "clm_core_db"),
        ("clm_secure_user", "clm_secure_db"),
    ];
    let wanted = wanted.map(|(user, database)| (user.to_owned(), database.to_owned()));
    assert_eq!(seen, wanted, "who is connected to what");
}

/// Who was connected to what while both roles were at work, but for the observer and PostgreSQL's
/// own workers.
async fn watch(observer: &mut PgConnection) -> Vec<(String, String)> {
    let begun = Instant::now();
    let mut seen: Vec<(String, String)> = Vec::new();
    let (mut looks, mut busy) = (0, [0_usize; 2]);
    while looks < LOOKS || busy.contains(&0) {
        let rows: Vec<(String, String, bool)> = sqlx::query_as(
            "SELECT coalesce(usename::text, '?'), coalesce(datname::text, '?'),
                 coalesce(state <> 'idle', false)
             FROM pg_stat_activity
             WHERE backend_type IN ('client backend', 'parallel worker', 'walsender')
                 AND pid <> pg_backend_pid()
                 -- Nobody yet: PostgreSQL 18 lists who is still signing in.
                 AND coalesce(state, '') <> 'starting'",
        )
        .fetch_all(&mut *observer)
        .await
        .expect("the connections can be listed");
        for (user, database, active) in rows {
            if active {
                busy[usize::from(user == "clm_secure_user")] += 1;
            }
            seen.push((user, database));
        }
        seen.sort();
        seen.dedup();
        looks += 1;
        assert!(
            begun.elapsed() < PATIENCE * 3,
            "the roles were never at work: {busy:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    seen
}
