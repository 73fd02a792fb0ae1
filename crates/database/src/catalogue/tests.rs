//! Every object dropped in turn, and what nobody ordered, on the real PostgreSQL of this machine.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::*;
use crate::migrate::Migrator;
use crate::migrate::tests::server::{Server, execute};

const BOTH: [Database; 2] = [Database::Core, Database::Secure];

#[test]
fn definitions_do_not_depend_on_white_space_or_the_name_of_the_only_table() {
    assert_eq!(canonical::text("  a\n\t b  "), "a b");
    let old = "SELECT c.id,\n  'x.y' AS z\n FROM public.certificates c WHERE (c.a1 = 1.5)";
    let new = "SELECT id, 'x.y' AS z FROM public.certificates c WHERE (a1 = 1.5)";
    assert_eq!(canonical::view(old), new);
    assert_eq!(canonical::view(new), new);
    let join = "SELECT a.id, b.id FROM public.a JOIN public.b ON (a.id = b.id)";
    assert_eq!(canonical::view(join), join);
}

#[test]
fn partitions_are_told_by_their_names() {
    let partition = Partition::parse("secure_audit_log_y2026m12").unwrap();
    assert_eq!(partition.table(), "secure_audit_log");
    let text = "of x, FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')";
    let partitions = [partition];
    let general = partitions::generalized(&partitions, text);
    assert_eq!(general, "of x, FOR VALUES {month}");
    let special = partitions::specialized(&partitions, "secure_audit_log_y*.t", &general);
    assert_eq!(
        special,
        Objects::from([("secure_audit_log_y2026m12.t".to_owned(), text.to_owned())])
    );
    // Another table whose name ends alike.
    assert!(partitions::specialized(&partitions, "audit_log_y*.t", "").is_empty());
    for name in [
        "audit_log",
        "audit_log_y2026m13",
        "audit_log_y26m01",
        "audit_log_y2026m1",
        "a_y2026m011",
    ] {
        assert_eq!(Partition::parse(name), None, "{name}");
    }
}

#[test]
fn the_snapshots_in_the_program_can_be_read() {
    for database in BOTH {
        let expected = expected(migrations(database)).unwrap();
        for kind in [
            TABLE, PARTITION, VIEW, FUNCTION, POLICY, ROLE, "index", "grant", "comment",
        ] {
            assert!(
                expected.of_kind(kind).next().is_some(),
                "{database:?} has no {kind}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_database_is_as_the_snapshot_says() {
    for database in BOTH {
        let server = Server::with_migrated(database).await;
        let mut connection = server.connect(database).await;
        assert_eq!(verify_on(&mut connection, database).await.unwrap(), []);
        let catalogue = read_catalogue(&mut connection, database).await.unwrap();
        if let Some(snapshot) = snapshot_json(&catalogue) {
            assert!(
                snapshot == migrations(database).catalogue,
                "migrations/{}/catalogue.json is out of date: see examples/catalogue_snapshot.rs",
                database.name()
            );
        }
        // Next year, when the last migration was long ago and nobody made partitions.
        let months = vec!["y2036m01".to_owned(), "y2036m02".to_owned()];
        let later = Catalogue {
            months,
            ..catalogue
        };
        let names = messages(&differences(
            &expected(migrations(database)).unwrap(),
            &later,
        ));
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("missing partition ")),
            "{names:?}"
        );
        assert!(
            names[0].ends_with("audit_log_y2036m01") && names[1].ends_with("audit_log_y2036m02")
        );
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_lacks_tables_and_not_every_column() {
    let server = Server::with_empty(Database::Core).await;
    let names = messages(
        &verify(&server.admin(Database::Core), Database::Core)
            .await
            .unwrap(),
    );
    assert!(names.contains(&"missing table users".to_owned()));
    assert!(names.contains(&"missing role clm_core_user".to_owned()));
    assert!(names.contains(&"missing extension pgcrypto".to_owned()));
    assert!(names.contains(&"excess grant schema public: USAGE to PUBLIC".to_owned()));
    assert!(names.len() < 120, "{names:#?}");
    server.stop().await;
}

fn messages(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

/// Runs `sql` in a transaction, compares, and takes it back.
async fn after(connection: &mut PgConnection, database: Database, sql: &str) -> Vec<String> {
    let mut transaction = connection.begin().await.unwrap();
    execute(&mut transaction, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let found = messages(&verify_on(&mut transaction, database).await.unwrap());
    transaction.rollback().await.unwrap();
    found
}

/// [`after`], looking at one kind only, because there are thousands to try.
async fn after_of_kind(
    connection: &mut PgConnection,
    (database, snapshot): (Database, &Catalogue),
    sql: &str,
    kind: &str,
) -> Vec<String> {
    let mut transaction = connection.begin().await.unwrap();
    execute(&mut transaction, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    // Partitions say what a snapshot means.
    let wanted = |name: &str| name == kind || name == PARTITION;
    let found = read(&mut transaction, migrations(database), wanted)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    messages(&differences(snapshot, &found))
}

fn kind_of(message: &str) -> &'static str {
    let (_, named) = message.split_once(' ').unwrap();
    kinds()
        .filter(|kind| named.starts_with(kind))
        .max_by_key(|kind| kind.len())
        .unwrap()
}

/// Statements that drop each object in turn, with the line that must tell of it.
const DROPS: &str = r#"
WITH relation AS (
    SELECT oid, relname, relkind, relowner, relacl, relispartition FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
)
SELECT format('missing table %s', relname), format('DROP TABLE public.%I CASCADE', relname)
FROM relation WHERE relkind IN ('r', 'p') AND NOT relispartition
UNION ALL
SELECT format('missing view %s', relname), format('DROP VIEW public.%I CASCADE', relname) FROM relation WHERE relkind = 'v'
UNION ALL
SELECT format('missing column %s.%s', relname, attname), format('ALTER TABLE public.%I DROP COLUMN %I CASCADE', relname, attname)
FROM relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
WHERE relkind IN ('r', 'p') AND NOT relispartition AND NOT (relkind = 'p' AND attname = 'event_timestamp')
UNION ALL
SELECT format('missing index %s.%s', relname, i.indexrelid::regclass), format('DROP INDEX public.%s', i.indexrelid::regclass)
FROM relation JOIN pg_index i ON i.indrelid = relation.oid
WHERE NOT relispartition AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
UNION ALL
SELECT format('missing constraint %s.%s', relname, conname), format('ALTER TABLE public.%I DROP CONSTRAINT %I CASCADE', relname, conname)
FROM relation JOIN pg_constraint c ON c.conrelid = relation.oid
WHERE c.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT relispartition
UNION ALL
SELECT format('missing trigger %s.%s', relname, tgname), format('DROP TRIGGER %I ON public.%I', tgname, relname)
FROM relation JOIN pg_trigger t ON t.tgrelid = relation.oid WHERE NOT tgisinternal
UNION ALL
SELECT format('missing policy %s.%s', relname, polname), format('DROP POLICY %I ON public.%I', polname, relname)
FROM relation JOIN pg_policy p ON p.polrelid = relation.oid
UNION ALL
SELECT format('missing function %s(%s)', proname, oidvectortypes(proargtypes)), format('DROP FUNCTION %s CASCADE', p.oid::regprocedure)
FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT format('missing grant %s: %s to %s', relname, a.privilege_type, a.grantee::regrole),
       format('REVOKE %s ON public.%I FROM %s', a.privilege_type, relname, a.grantee::regrole)
FROM relation CROSS JOIN LATERAL aclexplode(relacl) a WHERE a.grantee <> relowner
UNION ALL
SELECT format('missing grant %s.%s: %s to %s', relname, attname, a.privilege_type, a.grantee::regrole),
       format('REVOKE %s (%I) ON public.%I FROM %s', a.privilege_type, attname, relname, a.grantee::regrole)
FROM relation JOIN pg_attribute ON attrelid = relation.oid CROSS JOIN LATERAL aclexplode(attacl) a
UNION ALL
SELECT format('missing grant %s(%s): EXECUTE to %s', proname, oidvectortypes(proargtypes), a.grantee::regrole),
       format('REVOKE EXECUTE ON FUNCTION %s FROM %s', p.oid::regprocedure, a.grantee::regrole)
FROM pg_proc p CROSS JOIN LATERAL aclexplode(proacl) a
WHERE pronamespace = 'public'::regnamespace AND a.grantee <> p.proowner
UNION ALL
SELECT format('missing grant schema public: %s to %s', a.privilege_type, a.grantee::regrole),
       format('REVOKE %s ON SCHEMA public FROM %s', a.privilege_type, a.grantee::regrole)
FROM pg_namespace CROSS JOIN LATERAL aclexplode(nspacl) a WHERE nspname = 'public' AND a.grantee <> nspowner
UNION ALL
SELECT format('missing grant database: %s to %s', a.privilege_type, a.grantee::regrole),
       format('REVOKE %s ON DATABASE %I FROM %s', a.privilege_type, datname, a.grantee::regrole)
FROM pg_database CROSS JOIN LATERAL aclexplode(datacl) a WHERE datname = current_database() AND a.grantee <> datdba
UNION ALL
SELECT format('missing role membership %s in %s', member::regrole, roleid::regrole), format('REVOKE %s FROM %s', roleid::regrole, member::regrole)
FROM pg_auth_members WHERE member::regrole::text LIKE 'clm\_%'
UNION ALL
SELECT format('different role attribute %s', rolname),
       format('ALTER ROLE %I %s', rolname, CASE WHEN rolbypassrls THEN 'NOBYPASSRLS' ELSE 'BYPASSRLS' END)
FROM pg_roles WHERE rolname LIKE 'clm\_%' AND NOT rolsuper
UNION ALL
SELECT format('different table %s', relname), format('ALTER TABLE public.%I NO FORCE ROW LEVEL SECURITY', relname)
FROM relation WHERE relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN ('rights_changes', 'schema_migrations')
UNION ALL
SELECT format('different trigger %s.%s', relname, tgname), format('ALTER TABLE ONLY public.%I DISABLE TRIGGER %I', relname, tgname)
FROM relation JOIN pg_trigger t ON t.tgrelid = relation.oid WHERE NOT tgisinternal
UNION ALL
SELECT format('different ownership %s', relname), format('ALTER TABLE public.%I OWNER TO clm_auditor', relname) FROM relation
UNION ALL
SELECT format('missing comment %s', relname), format('COMMENT ON %s public.%I IS NULL', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, relname)
FROM relation WHERE NOT relispartition
"#;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_dropped_from_the_core_database_is_named() {
    drop_everything_in_turn(Database::Core).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_dropped_from_the_secure_database_is_named() {
    drop_everything_in_turn(Database::Secure).await;
}

async fn drop_everything_in_turn(database: Database) {
    let server = Server::with_migrated(database).await;
    let mut connection = server.connect(database).await;
    let drops: Vec<(String, String)> = sqlx::query_as(DROPS)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(drops.len() > 500, "{}", drops.len());
    let snapshot = expected(migrations(database)).unwrap();
    let mut unnoticed = Vec::new();
    for (message, sql) in &drops {
        let found = after_of_kind(
            &mut connection,
            (database, &snapshot),
            sql,
            kind_of(message),
        )
        .await;
        if !found.iter().any(|line| line.starts_with(message.as_str())) {
            unnoticed.push((sql, message, found));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    // One of each kind as `clm db verify` tells it.
    let mut shown = BTreeSet::new();
    for (message, sql) in drops
        .iter()
        .filter(|(message, _)| shown.insert(kind_of(message)))
    {
        let found = after(&mut connection, database, sql).await;
        assert!(
            found.iter().any(|line| line.starts_with(message.as_str())),
            "{sql}: {found:#?}"
        );
    }
    // Nothing of all that stayed.
    assert_eq!(verify_on(&mut connection, database).await.unwrap(), []);
    server.stop().await;
}

/// What nobody ordered, and changes that keep the name.
const CHANGES: [(&str, &str); 38] = [
    ("CREATE SCHEMA extra", "excess schema extra"),
    (
        "CREATE PUBLICATION extra FOR ALL TABLES",
        "excess publication extra",
    ),
    (
        "CREATE FUNCTION act() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER extra ON ddl_command_end EXECUTE FUNCTION act()",
        "excess event trigger extra",
    ),
    (
        "CREATE FOREIGN DATA WRAPPER extra; CREATE SERVER extra_server FOREIGN DATA WRAPPER extra",
        "excess foreign server extra_server",
    ),
    (
        "CREATE TABLE extra (id integer PRIMARY KEY)",
        "excess table extra",
    ),
    ("CREATE VIEW extra AS SELECT 1 AS one", "excess view extra"),
    ("CREATE SEQUENCE extra", "excess sequence extra"),
    ("CREATE TYPE extra AS ENUM ('a')", "excess type extra"),
    (
        "CREATE FUNCTION extra(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1'",
        "excess function extra(integer)",
    ),
    (
        "ALTER TABLE outbox ADD COLUMN extra text",
        "excess column outbox.extra",
    ),
    (
        "CREATE INDEX extra ON outbox (event_type)",
        "excess index outbox.extra",
    ),
    (
        "ALTER TABLE outbox ADD CONSTRAINT extra CHECK (true)",
        "excess constraint outbox.extra",
    ),
    (
        "CREATE TRIGGER extra BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION set_updated_at()",
        "excess trigger outbox.extra",
    ),
    (
        "CREATE RULE extra AS ON DELETE TO outbox DO INSTEAD NOTHING",
        "excess rule outbox.extra",
    ),
    (
        "CREATE POLICY extra ON outbox USING (true)",
        "excess policy outbox.extra",
    ),
    (
        "GRANT SELECT ON inbox TO clm_auditor",
        "excess grant inbox: SELECT to clm_auditor",
    ),
    (
        "GRANT SELECT ON inbox TO PUBLIC",
        "excess grant inbox: SELECT to PUBLIC",
    ),
    (
        "CREATE ROLE somebody; GRANT UPDATE (attempts) ON outbox TO somebody",
        "excess grant outbox.attempts: UPDATE to somebody",
    ),
    (
        "GRANT EXECUTE ON FUNCTION set_updated_at() TO PUBLIC",
        "excess grant set_updated_at(): EXECUTE to PUBLIC",
    ),
    (
        "GRANT EXECUTE ON FUNCTION gen_salt(text) TO clm_auditor",
        "excess grant gen_salt(text): EXECUTE to clm_auditor",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "excess grant schema public: CREATE to PUBLIC",
    ),
    (
        "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$",
        "excess grant database: TEMPORARY to PUBLIC",
    ),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "excess grant default privileges of clm_admin on tables: SELECT to PUBLIC",
    ),
    (
        "GRANT pg_read_all_data_or_monitor TO clm_auditor",
        "excess role membership clm_auditor in pg_",
    ),
    (
        "CREATE ROLE somebody; GRANT clm_auditor TO somebody",
        "excess role membership somebody in clm_auditor",
    ),
    (
        "GRANT SELECT ON schema_migrations TO clm_auditor WITH GRANT OPTION",
        "excess grant schema_migrations: SELECT to clm_auditor",
    ),
    (
        "ALTER ROLE clm_auditor SET app.current_org_id = '00000000-0000-0000-0000-000000000001'",
        "excess setting clm_auditor: app.current_org_id",
    ),
    (
        "ALTER ROLE clm_auditor CREATEROLE",
        "different role attribute clm_auditor",
    ),
    (
        "ALTER TABLE outbox DISABLE ROW LEVEL SECURITY",
        "different table outbox",
    ),
    ("ALTER TABLE outbox SET UNLOGGED", "different table outbox"),
    (
        "ALTER TABLE inbox ALTER event_type DROP NOT NULL",
        "different column inbox.event_type",
    ),
    (
        "ALTER TABLE inbox ALTER received_at SET DEFAULT NULL",
        "different column inbox.received_at",
    ),
    (
        "ALTER TABLE inbox ALTER event_type TYPE varchar(10)",
        "different column inbox.event_type",
    ),
    (
        "ALTER POLICY tenant_isolation ON outbox USING (true)",
        "different policy outbox.tenant_isolation",
    ),
    (
        "ALTER FUNCTION set_updated_at() SECURITY DEFINER",
        "different function set_updated_at()",
    ),
    (
        "CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "different function set_updated_at()",
    ),
    (
        "COMMENT ON TABLE outbox IS 'other'",
        "different comment outbox",
    ),
    ("CREATE EXTENSION citext", "excess extension citext"),
];

/// Of one database only.
const CORE_CHANGES: [(&str, &str); 9] = [
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_inbox_received_at'::regclass",
        "different index inbox.ix_inbox_received_at",
    ),
    (
        "ALTER TABLE user_roles DISABLE TRIGGER ALL",
        "different constraint user_roles.",
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT ck_users_status; ALTER TABLE users ADD CONSTRAINT ck_users_status CHECK (status <> '') NOT VALID",
        "different constraint users.ck_users_status",
    ),
    (
        "ALTER TABLE roles DISABLE TRIGGER trg_roles_protect_system; DELETE FROM roles WHERE role_code = 'AUDITOR'",
        "missing seed row roles.AUDITOR",
    ),
    (
        "ALTER TABLE roles DISABLE TRIGGER trg_roles_protect_system; UPDATE roles SET permissions = '{\"system\": [\"administer\"]}' WHERE role_code = 'USER'",
        "different seed row roles.USER",
    ),
    (
        "REVOKE SELECT ON users FROM clm_core_owner",
        "different ownership users",
    ),
    (
        "ALTER VIEW pending_approvals SET (security_barrier = true)",
        "different view pending_approvals",
    ),
    ("ALTER TABLE users RENAME TO people", "missing table users"),
    (
        "CREATE ROLE clm_core_intruder",
        "excess role clm_core_intruder",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_ordered_is_named() {
    for database in BOTH {
        let server = Server::with_migrated(database).await;
        let mut connection = server.connect(database).await;
        let of_core: &[_] = if database == Database::Core {
            &CORE_CHANGES
        } else {
            &[]
        };
        let mut unnoticed = Vec::new();
        for (sql, expected) in CHANGES.iter().chain(of_core) {
            let sql = sql.replace("pg_read_all_data_or_monitor", "pg_monitor");
            // Not in every build of the server.
            if sql.contains("citext") && !has_citext(&mut connection).await {
                continue;
            }
            let found = after(&mut connection, database, &sql).await;
            if !found.iter().any(|line| line.starts_with(expected)) {
                unnoticed.push((sql, *expected, found));
            }
        }
        assert!(unnoticed.is_empty(), "{unnoticed:#?}");
        server.stop().await;
    }
}

async fn has_citext(connection: &mut PgConnection) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext')")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_is_held_to_the_rule() {
    for database in BOTH {
        let server = Server::with_migrated(database).await;
        let mut connection = server.connect(database).await;
        let (name, table): (String, String) = sqlx::query_as(
            "SELECT c.relname::text, p.relname::text FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
             WHERE c.relkind = 'r' AND c.relname LIKE '%' || to_char(now() AT TIME ZONE 'UTC', '\"y\"YYYY\"m\"MM')",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        let user = database.user();
        let changes = [
            (
                format!("DROP TABLE {name}"),
                format!("missing partition {name}"),
            ),
            (
                format!("ALTER TABLE {table} DETACH PARTITION {name}"),
                format!("excess table {name}"),
            ),
            (
                format!("ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"),
                format!("different partition {name}"),
            ),
            (
                format!("GRANT SELECT ON {name} TO {user}"),
                format!("excess grant {name}: SELECT to {user}"),
            ),
            (
                format!("CREATE POLICY extra ON {name} USING (true)"),
                format!("excess policy {name}.extra"),
            ),
            (
                format!("CREATE INDEX extra ON {name} (id)"),
                format!("excess index {name}.extra"),
            ),
            (
                format!("CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT"),
                format!("excess partition {table}_rest"),
            ),
            (
                format!(
                    "CREATE TABLE {table}_y2000m01 PARTITION OF {table} FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')"
                ),
                format!("different partition {table}_y2000m01"),
            ),
            // Made without the function that protects it.
            (
                format!(
                    "CREATE TABLE {table}_y2000m01 PARTITION OF {table} FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2000-02-01 00:00+00')"
                ),
                format!("missing trigger {table}_y2000m01."),
            ),
        ];
        for (sql, expected) in changes {
            let found = after(&mut connection, database, &sql).await;
            assert!(
                found.iter().any(|line| line.starts_with(&expected)),
                "{sql}: {found:#?}"
            );
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_leaves_the_session_as_it_was() {
    let server = Server::with_migrated(Database::Secure).await;
    let mut connection = server.connect(Database::Secure).await;
    let settings = "SELECT current_setting('search_path') || current_setting('timezone')";
    let before: String = sqlx::query_scalar(settings)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    verify_on(&mut connection, Database::Secure).await.unwrap();
    let later: String = sqlx::query_scalar(settings)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(before, later);
    // A second migration run heals grants and role-bound policies.
    let admin = server.admin(Database::Secure);
    server.execute(Database::Secure, "GRANT DELETE ON secure_audit_log TO clm_secure_user; DROP POLICY system_scope ON outbox").await;
    assert_eq!(verify(&admin, Database::Secure).await.unwrap().len(), 2);
    Migrator::new(&admin, Database::Secure)
        .migrate()
        .await
        .unwrap();
    assert_eq!(verify(&admin, Database::Secure).await.unwrap(), []);
    connection.close().await.unwrap();
    server.stop().await;
}
