//! The program's role within one organization, for each table and view that `pg_catalog` lists.

use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use super::prepared::{
    INSUFFICIENT_PRIVILEGE, OTHER, OWN, Prepare, Prepared, Relation, SYSTEM, attempt, count,
    denied, impossible, refused, run,
};

/// Tables without organization: which versions of the schema there were is nobody's secret.
const OF_NO_TENANT: &[&str] = &["rights_changes", "schema_migrations"];
/// Functions that look something up before the organization is known: they show one row, to whoever
/// has the hash of a credential, the name of a user, or the id of an issuer.
const LOOK_UPS: &[&str] = &[
    "ensure_audit_partitions",
    "find_api_key_by_hash",
    "find_issuer",
    "find_session_by_token",
    "find_user_for_sign_in",
];
/// Tables whose trigger looks for what the row refers to, and does not find it in the own
/// organization, before row-level security is asked.
const ASKS_FIRST: &[&str] = &["certificate_revocations"];
/// SQLSTATE `foreign_key_violation`, which such a trigger raises.
const NOT_THERE: &str = "23503";
/// SQLSTATEs of a setting that was never set, and of one that is empty.
const UNSET: [&str; 2] = ["42704", "22P02"];
const ROW_SECURITY: &str = "violates row-level security policy";

/// Whether the program's role has a privilege on the whole relation, as the catalogue says.
async fn has(database: &Prepare, relation: &Relation, privilege: &str) -> bool {
    let asked = format!(
        "SELECT has_table_privilege('{}', 'public.{}', '{privilege}')::int::bigint",
        database.database.user(),
        relation.name
    );
    count(&mut database.superuser().await, &asked)
        .await
        .expect("the catalogue answers")
        == 1
}

/// The columns that the program's role may change.
async fn changeable(database: &Prepare, relation: &Relation) -> Vec<String> {
    let mut columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM unnest($3::text[]) AS column_name
         WHERE has_column_privilege($1, 'public.' || $2, column_name, 'UPDATE')",
    )
    .bind(database.database.user())
    .bind(&relation.name)
    .bind(&relation.columns)
    .fetch_all(&mut database.superuser().await)
    .await
    .expect("the catalogue answers");
    columns.sort();
    columns
}

/// Without an organization each table and view answers with an error, never with an empty list:
/// in a new session, and after a transaction that had one.
pub(super) async fn without_an_organization_nothing_is_read(database: &Prepare) {
    for relation in database.tables_and_views().await {
        let statement = format!("SELECT count(*) FROM {}", relation.name);
        for code in UNSET {
            let mut user = database.user().await;
            if code == UNSET[1] {
                let set = format!("BEGIN; SET LOCAL app.current_org_id = '{OWN}'; COMMIT");
                run(&mut user, &set)
                    .await
                    .expect("an organization can be set");
            }
            if !has(database, &relation, "SELECT").await {
                // Either the grant or the setting is found missing first.
                assert!(attempt(&mut user, &statement).await.is_err(), "{statement}");
            } else if relation.tenant_column.is_none() {
                assert!(
                    OF_NO_TENANT.contains(&relation.name.as_str()),
                    "{relation:?}: whose?"
                );
                assert!(count(&mut user, &statement).await.expect("it is readable") > 0);
            } else {
                refused(&mut user, &statement, (code, "")).await;
            }
        }
    }
}

/// Each table and view shows rows of the own organization, and what the system organization shares;
/// row-level security cannot be turned off.
pub(super) async fn reading_stays_in_the_organization(database: &Prepare) {
    let mut user = database.user_of_own().await;
    let mut seen = 0;
    for relation in database.tables_and_views().await {
        let Some(column) = &relation.tenant_column else {
            continue;
        };
        let name = &relation.name;
        if !has(database, &relation, "SELECT").await {
            denied(&mut user, &format!("SELECT {column} FROM {name}")).await;
            continue;
        }
        let of = |organizations: &str| {
            format!("SELECT count(*) FROM {name} WHERE {column} IN ({organizations})")
        };
        let all = format!("SELECT count(*) FROM {name}");
        let all = count(&mut user, &all)
            .await
            .expect("the own rows can be read");
        let own = count(&mut user, &of(&format!("'{OWN}'")))
            .await
            .expect("own rows");
        let other = count(&mut user, &of(&format!("'{OTHER}'")))
            .await
            .expect("no rows");
        let shared = count(&mut user, &of(&format!("'{SYSTEM}'")))
            .await
            .expect("shared rows");
        assert!(own > 0, "{name} hides the own rows");
        assert_eq!(other, 0, "{name} shows rows of another organization");
        assert_eq!(
            all,
            own + shared,
            "{name} shows rows of third organizations"
        );
        let may_be_shared = matches!(name.as_str(), "roles" | "issuers");
        assert!(
            shared == 0 || may_be_shared,
            "{name} shows rows of the system organization"
        );
        let off = format!("SET LOCAL row_security = off; SELECT count(*) FROM {name}");
        let by_policy = "would be affected by row-level security";
        if relation.is_view {
            // A view is read as its owner, whom the setting binds as well.
            let off = attempt(&mut user, &off).await;
            assert!(off.is_err(), "{name}: row-level security can be turned off");
        } else {
            refused(&mut user, &off, (INSUFFICIENT_PRIVILEGE, by_policy)).await;
        }
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} relations can be read");
}

/// A row of the table, written again by the program's role.
async fn rewrite(database: &Prepare, relation: &Relation, organization: &str) -> String {
    let (name, columns) = (&relation.name, relation.columns.join(", "));
    let tenant_column = relation.tenant_column.as_deref().unwrap_or_default();
    let read = format!(
        "SELECT to_jsonb(t)::text FROM {name} t WHERE {tenant_column} = '{organization}' LIMIT 1"
    );
    let row: String = sqlx::query_scalar(AssertSqlSafe(read))
        .fetch_one(&mut database.superuser().await)
        .await
        .unwrap_or_else(|error| panic!("{name} has no row of {organization}: {error}"));
    let row = row.replace('\'', "''");
    format!(
        "INSERT INTO {name} ({columns})
         SELECT {columns} FROM jsonb_populate_record(NULL::{name}, '{row}'::jsonb)"
    )
}

/// The same row is refused for another organization, and for the own one at most because it is
/// there already. No row moves to another organization, and no foreign one is changed.
pub(super) async fn writing_stays_in_the_organization(database: &Prepare) {
    let mut user = database.user_of_own().await;
    for relation in database.tables_and_views().await {
        let name = &relation.name;
        let Some(column) = relation.tenant_column.clone() else {
            denied(&mut user, &format!("INSERT INTO {name} DEFAULT VALUES")).await;
            let column = relation.columns.first().expect("a table has columns");
            denied(&mut user, &format!("UPDATE {name} SET {column} = {column}")).await;
            continue;
        };
        if relation.is_view {
            let insert = format!("INSERT INTO {name} DEFAULT VALUES");
            impossible(&mut user, &relation, &insert).await;
            let update = format!("UPDATE {name} SET {column} = {column}");
            impossible(&mut user, &relation, &update).await;
            continue;
        }
        let foreign = rewrite(database, &relation, OTHER).await;
        if has(database, &relation, "INSERT").await {
            let expected = match ASKS_FIRST.contains(&name.as_str()) {
                true => (NOT_THERE, ""),
                false => (INSUFFICIENT_PRIVILEGE, ROW_SECURITY),
            };
            refused(&mut user, &foreign, expected).await;
            let own = rewrite(database, &relation, OWN).await;
            let code = attempt(&mut user, &own).await.err().and_then(|error| {
                error
                    .as_database_error()
                    .and_then(|error| error.code().map(|code| code.to_string()))
            });
            assert!(
                matches!(code.as_deref(), None | Some("23505")),
                "{own}: {code:?}"
            );
        } else {
            denied(&mut user, &foreign).await;
        }
        changes_stay_in_the_organization(database, &relation, &column, &mut user).await;
    }
}

async fn changes_stay_in_the_organization(
    database: &Prepare,
    relation: &Relation,
    column: &str,
    user: &mut PgConnection,
) {
    let name = &relation.name;
    let changeable = changeable(database, relation).await;
    let Some(some) = changeable.first() else {
        return denied(user, &format!("UPDATE {name} SET {column} = {column}")).await;
    };
    let change = |organization: &str| {
        format!("UPDATE {name} SET {some} = {some} WHERE {column} = '{organization}'")
    };
    // The condition needs SELECT, which not everything has that can be written.
    if !has(database, relation, "SELECT").await {
        return denied(user, &change(OTHER)).await;
    }
    let rows = attempt(user, &change(OTHER))
        .await
        .expect("no row is found");
    assert_eq!(rows, 0, "{name}: rows of another organization were changed");
    let rows = attempt(user, &change(OWN))
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(rows > 0, "{name}: the own rows cannot be changed");
    let shift = format!("UPDATE {name} SET {column} = '{OTHER}' WHERE {column} = '{OWN}'");
    if changeable.iter().any(|one| one == column) {
        refused(user, &shift, (INSUFFICIENT_PRIVILEGE, ROW_SECURITY)).await;
    } else {
        denied(user, &shift).await;
    }
}

/// Business rows are marked as deleted; what is transient goes in the System scope only.
pub(super) async fn nothing_is_deleted(database: &Prepare) {
    let mut user = database.user_of_own().await;
    for relation in database.tables_and_views().await {
        let delete = format!("DELETE FROM {}", relation.name);
        impossible(&mut user, &relation, &delete).await;
        if !relation.is_view {
            denied(&mut user, &format!("TRUNCATE {} CASCADE", relation.name)).await;
        }
    }
    denied(&mut user, "CREATE TABLE own (id integer)").await;
    denied(&mut user, "CREATE TEMPORARY TABLE own (id integer)").await;
    denied(&mut user, "CREATE SCHEMA own").await;
}

/// The program's role becomes the System scope when it says so, and nobody else. Functions that run
/// with the rights of others are those on the list.
pub(super) async fn no_other_role_is_in_reach(database: &Prepare) {
    let mut superuser = database.superuser().await;
    let roles: Vec<String> = sqlx::query_scalar("SELECT rolname::text FROM pg_roles")
        .fetch_all(&mut superuser)
        .await
        .expect("the roles can be listed");
    let mut user = database.user_of_own().await;
    let (own, system) = (database.database.user(), database.database.system_role());
    for role in roles.iter().filter(|role| !role.starts_with("pg_")) {
        let set = format!("SET ROLE \"{role}\"");
        if role == own || role == system {
            attempt(&mut user, &set)
                .await
                .unwrap_or_else(|error| panic!("{set}: {error}"));
        } else {
            denied(&mut user, &set).await;
        }
    }
    let definers: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND prosecdef
             AND has_function_privilege($1, oid, 'EXECUTE') ORDER BY 1",
    )
    .bind(own)
    .fetch_all(&mut superuser)
    .await
    .expect("the functions can be listed");
    for name in &definers {
        assert!(
            LOOK_UPS.contains(&name.as_str()),
            "{name} runs with the rights of its owner"
        );
    }
}

/// Neither user of the program can enter the other database.
pub(super) async fn each_user_has_one_database(prepared: &Prepared) {
    let [core, secure] = &prepared.databases;
    for (user, foreign) in [(&core.user, secure), (&secure.user, core)] {
        let error = user
            .clone()
            .database(foreign.database.name())
            .connect()
            .await
            .err();
        let error = error.unwrap_or_else(|| {
            panic!("{} enters {}", user.get_username(), foreign.database.name())
        });
        let reported = error
            .as_database_error()
            .unwrap_or_else(|| panic!("{error}"));
        assert_eq!(
            reported.code().as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{error}"
        );
        assert!(
            reported
                .message()
                .contains("permission denied for database"),
            "{error}"
        );
    }
}
