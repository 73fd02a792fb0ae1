//! The test queries that operators know, and that the rows of these tests are complete.

use clm_database::pool::Database;
use sqlx::{AssertSqlSafe, PgConnection};

use super::prepared::{OTHER, OWN, Prepare, Prepared, count};

/// Both organizations have a row in each table that belongs to organizations, so that a table which
/// is added later is not forgotten by these tests.
pub(super) async fn every_organization_has_rows_everywhere(database: &Prepare) {
    let mut superuser = database.superuser().await;
    for relation in database.relations().await {
        let (Some(column), false) = (&relation.tenant_column, relation.is_view) else {
            continue;
        };
        for organization in [OWN, OTHER] {
            let name = &relation.name;
            let asked = format!("SELECT count(*) FROM {name} WHERE {column} = '{organization}'");
            let rows = count(&mut superuser, &asked)
                .await
                .expect("the superuser reads it");
            assert!(rows > 0, "give {name} a row in the seed of these tests");
        }
    }
}

async fn texts(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let wrapped = format!("SELECT row(q.*)::text FROM ({query}) q ORDER BY 1");
    let found = sqlx::query_scalar(AssertSqlSafe(wrapped))
        .fetch_all(connection)
        .await;
    found.unwrap_or_else(|error| panic!("{query}: {error}"))
}

#[expect(clippy::too_many_lines, reason = "one query after the other")]
pub(super) async fn they_return_what_they_promise(prepared: &Prepared) {
    let [core, secure] = &prepared.databases;
    assert_eq!(
        (core.database, secure.database),
        (Database::Core, Database::Secure)
    );
    let (mut in_core, mut in_secure) = (core.superuser().await, secure.superuser().await);
    let found = texts(
        &mut in_secure,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename IN
           ('encryption_keys', 'certificates', 'private_keys', 'certificate_requests')",
    );
    let wanted = [
        "(certificate_requests)",
        "(certificates)",
        "(encryption_keys)",
        "(private_keys)",
    ];
    assert_eq!(found.await, wanted);

    let found = texts(
        &mut in_core,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename IN
           ('users', 'roles', 'policies', 'workflows', 'audit_log')",
    );
    assert_eq!(
        found.await,
        [
            "(audit_log)",
            "(policies)",
            "(roles)",
            "(users)",
            "(workflows)"
        ]
    );

    let roles = "SELECT role_code, role_name FROM roles WHERE is_system_role = TRUE";
    let wanted = [
        "(APPROVER,Approver)",
        "(AUDITOR,Auditor)",
        "(CERT_ADMIN,\"Certificate administrator\")",
        "(CERT_OPERATOR,\"Certificate operator\")",
        "(SYSTEM_ADMIN,\"System administrator\")",
        "(USER,User)",
    ];
    assert_eq!(texts(&mut in_core, roles).await, wanted);
    assert_eq!(
        texts(&mut core.user_of_own().await, roles).await,
        wanted,
        "every organization's"
    );

    for (database, connection) in [(core, &mut in_core), (secure, &mut in_secure)] {
        let triggers = texts(
            connection,
            "SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE tgname LIKE 'trg_%'",
        )
        .await;
        for relation in database.relations().await {
            let name = &relation.name;
            if !relation.is_view && relation.columns.iter().any(|one| one == "updated_at") {
                let wanted = format!("(trg_{name}_updated_at,{name})");
                assert!(
                    triggers.contains(&wanted),
                    "{wanted} is not in {triggers:?}"
                );
            }
            if relation.is_partition || name == database.audit_log() {
                let guarded = triggers
                    .iter()
                    .any(|trigger| trigger.ends_with(&format!(",{name})")));
                assert!(guarded, "{name} has no trigger");
            }
        }
    }
}
