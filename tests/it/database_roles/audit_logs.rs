//! Audit rows: nobody changes one, the auditor reads all.

use super::prepared::{
    INSUFFICIENT_PRIVILEGE, OWN, Prepare, attempt, count, denied, impossible, refused, run,
};

/// Statements that would change what was recorded.
fn changes(relation: &str) -> [String; 3] {
    [
        format!("UPDATE public.{relation} SET event_code = 'forged'"),
        format!("DELETE FROM public.{relation}"),
        format!("TRUNCATE public.{relation}"),
    ]
}

/// The program's role cannot address a partition in any way, within an organization and in the
/// System scope.
pub(super) async fn partitions_cannot_be_addressed(database: &Prepare) {
    let mut user = database.user_of_own().await;
    for role in [database.database.user(), database.database.system_role()] {
        run(&mut user, &format!("SET ROLE {role}"))
            .await
            .expect("the role is its own");
        for partition in database.partitions().await {
            let name = &partition.name;
            denied(&mut user, &format!("SELECT id FROM {name}")).await;
            denied(&mut user, &format!("INSERT INTO {name} DEFAULT VALUES")).await;
            for change in changes(name) {
                denied(&mut user, &change).await;
            }
        }
        for change in changes(database.audit_log()) {
            denied(&mut user, &change).await;
        }
    }
}

/// Not the owner, not who migrates, and not even the superuser, by parent and by partition.
pub(super) async fn nobody_changes_an_audit_row(database: &Prepare) {
    let mut superuser = database.superuser().await;
    let all = format!("SELECT count(*) FROM {}", database.audit_log());
    let before = count(&mut superuser, &all)
        .await
        .expect("the log can be counted");
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'clm%' OR rolsuper ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .expect("the roles can be listed");
    assert!(roles.len() >= 9, "{roles:?}");
    let mut relations = database.partitions().await;
    relations.retain(|one| one.is_partition);
    let names: Vec<String> = std::iter::once(database.audit_log().to_owned())
        .chain(relations.into_iter().map(|one| one.name))
        .collect();
    for role in &roles {
        let become_role = format!("SET app.current_org_id = '{OWN}'; SET ROLE \"{role}\"");
        run(&mut superuser, &become_role)
            .await
            .expect("the superuser becomes anybody");
        for name in &names {
            for change in changes(name) {
                // A row that cannot be seen is not changed either.
                let outcome = attempt(&mut superuser, &change).await;
                let is_refused = outcome.as_ref().is_err_and(|error| {
                    error.as_database_error().is_some_and(|error| {
                        error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
                    })
                });
                let untouched = matches!(outcome, Ok(0)) && !change.starts_with("TRUNCATE");
                assert!(is_refused || untouched, "{role}: {change}: {outcome:?}");
                assert!(
                    is_refused || name != database.audit_log(),
                    "{role}: {change}"
                );
            }
        }
        run(&mut superuser, "RESET ROLE")
            .await
            .expect("the superuser is itself again");
    }
    // Also while a session declares itself a replica, which turns ordinary triggers off.
    run(&mut superuser, "SET session_replication_role = replica")
        .await
        .expect("it may");
    for name in &names {
        for change in changes(name) {
            let append_only = (INSUFFICIENT_PRIVILEGE, "append-only");
            refused(&mut superuser, &change, append_only).await;
        }
    }
    let after = count(&mut superuser, &all)
        .await
        .expect("the log can be counted");
    assert_eq!(after, before);
}

/// The auditor needs no organization, sees every row of every organization, and nothing else.
#[expect(
    clippy::too_many_lines,
    reason = "one auditor, looking at everything in turn"
)]
pub(super) async fn the_auditor_reads_all_of_them_and_nothing_else(database: &Prepare) {
    use sqlx::ConnectOptions as _;
    let mut superuser = database.superuser().await;
    let mut auditor = database
        .auditor
        .connect()
        .await
        .expect("the auditor connects");
    let log = database.audit_log();
    for asked in [
        format!("SELECT count(*) FROM {log}"),
        format!("SELECT count(DISTINCT organization_id) FROM {log}"),
        format!(
            "SELECT ('x' || left(md5(string_agg(t::text, ',' ORDER BY id)), 15))::bit(60)::bigint FROM {log} t"
        ),
    ] {
        let all = count(&mut superuser, &asked)
            .await
            .expect("the superuser reads it");
        assert!(all != 0 && all != 1, "{asked}: {all}");
        assert_eq!(
            count(&mut auditor, &asked)
                .await
                .expect("the auditor reads it"),
            all,
            "{asked}"
        );
        let set = format!("SET app.current_org_id = '{OWN}'");
        run(&mut auditor, &set).await.expect("anybody sets it");
        assert_eq!(
            count(&mut auditor, &asked)
                .await
                .expect("the auditor reads it"),
            all,
            "{asked}"
        );
    }
    for relation in database.relations().await {
        let name = &relation.name;
        let column = &relation.columns[0];
        if name != log {
            denied(&mut auditor, &format!("SELECT {column} FROM {name}")).await;
            denied(&mut auditor, &format!("SELECT count(*) FROM {name}")).await;
        }
        for change in [
            format!("INSERT INTO {name} DEFAULT VALUES"),
            format!("UPDATE {name} SET {column} = {column}"),
            format!("DELETE FROM {name}"),
        ] {
            impossible(&mut auditor, &relation, &change).await;
        }
        if !relation.is_view {
            denied(&mut auditor, &format!("TRUNCATE {name}")).await;
        }
    }
    let further = "SELECT
        (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
             AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname <> $1
             AND (has_any_column_privilege('clm_auditor', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                 OR has_table_privilege('clm_auditor', c.oid, 'DELETE, TRUNCATE, TRIGGER')))
        + (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
             AND CASE c.relkind WHEN 'S' THEN
                 has_sequence_privilege('clm_auditor', c.oid, 'USAGE, SELECT, UPDATE') END)
        + (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
             AND has_function_privilege('clm_auditor', p.oid, 'EXECUTE'))
        + (SELECT count(*) FROM pg_auth_members WHERE member = 'clm_auditor'::regrole)";
    let further: i64 = sqlx::query_scalar(further)
        .bind(log)
        .fetch_one(&mut superuser)
        .await
        .expect("the catalogue answers");
    assert_eq!(further, 0, "the auditor has further privileges");
    denied(&mut auditor, "CREATE TABLE own (id integer)").await;
    denied(&mut auditor, "CREATE TEMPORARY TABLE own (id integer)").await;
}
