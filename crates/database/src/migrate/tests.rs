//! Runs the real PostgreSQL of this machine, one per test, because roles belong to the server.

mod pure;
pub(crate) mod server;

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use self::server::{Server, execute, rng};
use super::*;
use crate::catalogue::{Problem, verify};
use crate::pool::PoolOptions;
use crate::roles::{generate_password, set_password};

const BOTH: [Database; 2] = [Database::Core, Database::Secure];

fn rows(database: Database) -> &'static str {
    match database {
        Database::Core => include_str!("tests/rows_core.sql"),
        Database::Secure => include_str!("tests/rows_secure.sql"),
    }
}

/// Names and numbers of rows of all tables but partitions.
async fn tables(connection: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT c.relname::text,
                (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM public.%I', c.relname),
                                                     false, true, '')))[1]::text::bigint
         FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// What schema public holds, extensions apart.
async fn objects(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT o.name FROM (
             SELECT oid, 'pg_class'::regclass, relname::text FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
             UNION ALL
             SELECT oid, 'pg_proc'::regclass, proname::text FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace
         ) AS o (id, class, name)
         WHERE NOT EXISTS (SELECT FROM pg_depend d
                           WHERE d.classid = o.class AND d.objid = o.id AND d.deptype = 'e')
         ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_again_down_up_with_rows_in_every_table() {
    for database in BOTH {
        let server = Server::with_empty(database).await;
        let admin = server.admin(database);
        let migrator = Migrator::new(&admin, database);

        let first = migrator.migrate().await.unwrap();
        let applied: Vec<i32> = first
            .applied
            .iter()
            .map(|migration| migration.version)
            .collect();
        let versions: Vec<i32> = migrations(database)
            .migrations()
            .iter()
            .map(|migration| migration.version)
            .collect();
        assert_eq!(
            (first.version, &applied, first.adopted.len()),
            (*versions.last().unwrap(), &versions, 0)
        );

        let mut connection = server.connect(database).await;
        execute(&mut connection, rows(database)).await.unwrap();
        let filled = tables(&mut connection).await;
        let empty: Vec<&(String, i64)> = filled.iter().filter(|(_, rows)| *rows == 0).collect();
        assert!(empty.is_empty(), "no rows were made for {empty:?}");

        let again = migrator.migrate().await.unwrap();
        assert_eq!(
            again,
            MigrationReport {
                applied: Vec::new(),
                ..first.clone()
            }
        );
        assert_eq!(tables(&mut connection).await, filled);
        // The files themselves can be repeated, too.
        for migration in migrations(database).migrations() {
            execute(&mut connection, migration.sql).await.unwrap();
        }
        assert_eq!(tables(&mut connection).await, filled);
        assert_eq!(verify(&admin, database).await.unwrap(), []);

        let refused = migrator.rollback(0, false).await.unwrap_err();
        assert!(
            matches!(refused, MigrateError::RollbackRefused { .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains("--destroy-data"), "{refused}");
        assert_eq!(tables(&mut connection).await, filled);

        let down = migrator.rollback(0, true).await.unwrap();
        assert_eq!(down.version, 0);
        assert_eq!(
            down.undone,
            versions.iter().rev().copied().collect::<Vec<_>>()
        );
        assert_eq!(objects(&mut connection).await, ["schema_migrations"]);
        let idle = migrator.rollback(0, false).await.unwrap();
        assert_eq!(
            idle,
            RollbackReport {
                version: 0,
                undone: Vec::new()
            }
        );

        let up = migrator.migrate().await.unwrap();
        assert_eq!(up.applied.len(), versions.len());
        assert_eq!(verify(&admin, database).await.unwrap(), []);
        // Nothing to lose but what the migrations put there.
        migrator.rollback(0, false).await.unwrap();
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_are_prepared_at_once_and_the_program_signs_in() {
    let server = Server::start().await;
    let maintenance = server.maintenance();
    let (core_rng, secure_rng) = (rng(), rng());
    let (core, secure) = tokio::join!(
        crate::roles::init(&maintenance, Database::Core, &core_rng),
        crate::roles::init(&maintenance, Database::Secure, &secure_rng),
    );
    for report in [core.unwrap(), secure.unwrap()] {
        let database = report.database;
        assert!(report.database_created);
        let options = report.connect_options(&maintenance);
        let pool = Pool::new(database, options.clone(), &PoolOptions::default());
        check_for_serving(&pool).await.unwrap();
        assert_eq!(verify(&options, database).await.unwrap(), []);
        let status = Migrator::new(&options, database).status().await.unwrap();
        assert!(
            status
                .iter()
                .all(|line| line.state == MigrationState::Applied),
            "{status:?}"
        );
        pool.close().await;
        let wrong = options.password("wrong");
        let pool = Pool::new(database, wrong, &PoolOptions::default());
        check_for_serving(&pool).await.unwrap_err();
    }
    // Again: nothing is lost, the password is new.
    let again = crate::roles::init(&maintenance, Database::Core, &core_rng)
        .await
        .unwrap();
    assert!(!again.database_created && again.migrations.applied.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_migrators_one_waits_and_finds_nothing_to_do() {
    let database = Database::Secure;
    let server = Server::with_empty(database).await;
    let admin = server.admin(database);
    let (one, other) = (
        Migrator::new(&admin, database),
        Migrator::new(&admin, database),
    );
    let (one, other) = tokio::join!(one.migrate(), other.migrate());
    let mut applied = [one.unwrap().applied.len(), other.unwrap().applied.len()];
    applied.sort_unstable();
    assert_eq!(applied, [0, migrations(database).migrations().len()]);

    let mut holder = server.connect(database).await;
    execute(
        &mut holder,
        &format!("SELECT pg_advisory_lock({})", lock::KEY),
    )
    .await
    .unwrap();
    let impatient = Migrator::new(&admin, database).lock_wait(Duration::from_millis(300));
    let busy = impatient.migrate().await.unwrap_err();
    assert!(matches!(busy, MigrateError::Busy { .. }), "{busy}");
    assert!(busy.to_string().contains("backend"), "{busy}");
    let busy = impatient.rollback(0, true).await.unwrap_err();
    assert!(matches!(busy, MigrateError::Busy { .. }), "{busy}");
    // Looking does not wait.
    impatient.status().await.unwrap();
    holder.close().await.unwrap();
    impatient.migrate().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_applied_by_hand_are_adopted_when_nothing_is_missing() {
    for database in BOTH {
        let server = Server::with_empty(database).await;
        let admin = server.admin(database);
        let migrator = Migrator::new(&admin, database);
        let set = migrations(database);
        let by_hand: Vec<&str> = set
            .migrations()
            .iter()
            .map(|migration| migration.sql)
            .collect();
        server.execute(database, &by_hand.concat()).await;
        let status = migrator.status().await.unwrap();
        assert!(
            status
                .iter()
                .all(|line| line.state == MigrationState::AppliedByHand)
        );
        plan::check_for_serving(set, &recorded(&server, database).await).unwrap();

        // Not what the file would have left: an index is gone, a column has another type.
        let broken =
            "DROP INDEX ix_inbox_received_at; ALTER TABLE outbox ALTER attempts TYPE bigint";
        server.execute(database, broken).await;
        server
            .execute(database, "CREATE TABLE somebodys_own (id integer)")
            .await;
        let refused = migrator.migrate().await.unwrap_err();
        let MigrateError::AdoptionRefused { differences, .. } = &refused else {
            panic!("{refused}");
        };
        let kinds: Vec<&str> = differences
            .iter()
            .map(|difference| difference.kind)
            .collect();
        assert_eq!(kinds, ["column", "index"], "{refused}");
        assert!(refused.to_string().contains("missing index "), "{refused}");
        assert!(
            recorded(&server, database)
                .await
                .iter()
                .all(|row| row.checksum.is_none())
        );

        server
            .execute(database, "ALTER TABLE outbox ALTER attempts TYPE integer")
            .await;
        server.execute(database, &by_hand.concat()).await;
        let report = migrator.migrate().await.unwrap();
        assert_eq!(
            (report.applied.len(), report.adopted.len()),
            (0, by_hand.len())
        );
        assert!(
            recorded(&server, database)
                .await
                .iter()
                .all(|row| row.checksum.is_some())
        );
        // What is in excess is no reason not to adopt, and is not forgotten.
        let differences = verify(&admin, database).await.unwrap();
        assert!(
            differences
                .iter()
                .all(|difference| difference.problem == Problem::Excess)
        );
        assert!(
            differences
                .iter()
                .any(|difference| difference.name == "somebodys_own")
        );
        server.stop().await;
    }
}

async fn recorded(server: &Server, database: Database) -> Vec<history::Recorded> {
    let mut connection = server.connect(database).await;
    history::read(&mut connection, database)
        .await
        .unwrap()
        .unwrap()
}

/// A migrated secure database, and a pool of the program's user.
async fn served(database: Database) -> (Server, Pool) {
    let server = Server::with_migrated(database).await;
    let admin = server.admin(database);
    let rng = rng();
    let password = generate_password(&rng);
    set_password(&admin, database.user(), &password, &rng)
        .await
        .unwrap();
    let user = admin.username(database.user()).password(password.expose());
    (server, Pool::new(database, user, &PoolOptions::default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_refused_with_the_command_that_helps() {
    let database = Database::Secure;
    let (server, pool) = served(database).await;
    let admin = server.admin(database);
    let migrator = Migrator::new(&admin, database);
    check_for_serving(&pool).await.unwrap();

    server
        .execute(
            database,
            "UPDATE schema_migrations SET checksum = sha256('x')",
        )
        .await;
    let error = migrator.migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Changed { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("clm db rollback --to 000 --destroy-data"),
        "{error}"
    );
    assert!(matches!(
        check_for_serving(&pool).await,
        Err(MigrateError::Changed { .. })
    ));
    assert!(matches!(
        migrator.rollback(0, false).await,
        Err(MigrateError::Changed { .. })
    ));
    assert_eq!(
        migrator.status().await.unwrap()[0].state,
        MigrationState::Changed
    );

    // The command that the message names works.
    migrator.rollback(0, true).await.unwrap();
    let error = check_for_serving(&pool).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::NotInitialized { .. }),
        "{error}"
    );
    assert_eq!(
        migrator.status().await.unwrap()[0].state,
        MigrationState::Pending
    );
    migrator.migrate().await.unwrap();
    check_for_serving(&pool).await.unwrap();
    pool.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_served_when_it_allows_and_never_migrated() {
    let database = Database::Secure;
    let (server, pool) = served(database).await;
    let admin = server.admin(database);
    let migrator = Migrator::new(&admin, database);
    let newer = migrations(database).latest() + 1;
    let insert = |needs: &str| {
        format!(
            "INSERT INTO schema_migrations (version, description, min_program_version)
             VALUES ({newer}, 'newer', '{needs}')
             ON CONFLICT (version) DO UPDATE SET min_program_version = '{needs}'"
        )
    };
    server.execute(database, &insert("999.0.0")).await;
    assert!(matches!(
        migrator.migrate().await,
        Err(MigrateError::Newer { .. })
    ));
    assert!(matches!(
        migrator.rollback(0, true).await,
        Err(MigrateError::Newer { .. })
    ));
    let error = check_for_serving(&pool).await.unwrap_err();
    assert!(error.to_string().contains("999.0.0"), "{error}");

    server.execute(database, &insert(PROGRAM_VERSION)).await;
    check_for_serving(&pool).await.unwrap();
    assert!(matches!(
        migrator.migrate().await,
        Err(MigrateError::Newer { .. })
    ));
    assert_eq!(
        migrator.status().await.unwrap().last().unwrap().state,
        MigrationState::Unknown
    );
    pool.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_and_what_does_not_exist_is_refused() {
    let database = Database::Secure;
    let server = Server::with_migrated(database).await;
    let admin = server.admin(database);
    let migrator = Migrator::new(&admin, database);
    for target in [migrations(database).latest() + 7, -1] {
        let error = migrator.rollback(target, true).await.unwrap_err();
        assert!(
            matches!(error, MigrateError::UnknownTarget { .. }),
            "{error}"
        );
    }
    let foreign = "DROP TABLE schema_migrations;
                   CREATE TABLE schema_migrations (version text, dirty boolean)";
    server.execute(database, foreign).await;
    let error = migrator.migrate().await.unwrap_err();
    assert!(
        matches!(error, MigrateError::ForeignHistory { .. }),
        "{error}"
    );
    assert!(matches!(
        migrator.status().await,
        Err(MigrateError::ForeignHistory { .. })
    ));
    server.stop().await;
}

/// A small schema of the test's own.
const FIRST: &str = "BEGIN;
CREATE TABLE schema_migrations (version integer PRIMARY KEY, description text NOT NULL, checksum bytea,
    min_program_version text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT current_user, execution_time_ms bigint);
CREATE TABLE things (id integer PRIMARY KEY, name text);
INSERT INTO schema_migrations (version, description, min_program_version) VALUES (1, 'first', '0.1.0');
COMMIT;";

fn set_of(files: &[&'static str]) -> MigrationSet {
    let migrations = files.iter().zip(1..).map(|(sql, version)| Migration {
        version,
        name: format!("{version:03}_test").leak(),
        sql,
        rollback_sql: "",
    });
    MigrationSet {
        database: Database::Core,
        migrations: migrations.collect::<Vec<_>>().leak(),
        roles_sql: "SELECT 1;",
        seed_rows_sql: None,
        catalogue: "{}",
    }
}

/// What a second file has to write down.
const SECOND_ROW: &str = "INSERT INTO schema_migrations (version, description, min_program_version) \
     VALUES (2, 'second', '0.1.0');";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fails_leaves_nothing_and_says_where() {
    let database = Database::Core;
    let server = Server::with_empty(database).await;
    let admin = server.admin(database);
    let failing = "-- A second migration.\nBEGIN;\nALTER TABLE things ADD COLUMN size integer;\n\n\
                   ALTER TABLE things\n    ADD COLUMN shape no_such_type;\nCOMMIT;";
    let set = set_of(&[FIRST, failing]);
    let error = Migrator::with_set(&admin, &set)
        .migrate()
        .await
        .unwrap_err();
    let MigrateError::ScriptFailed {
        file, line, code, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (file.as_str(), *line, code.as_str()),
        ("002_test.sql", 6, "42704"),
        "{error}"
    );
    let mut connection = server.connect(database).await;
    let columns: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'things'::regclass AND attnum > 0",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(columns, 2);
    assert_eq!(recorded(&server, database).await.len(), 1);

    // A file without COMMIT, and one that does not record itself.
    let uncommitted: &'static str = format!("BEGIN; {SECOND_ROW}").leak();
    for broken in [uncommitted, "BEGIN; COMMIT;"] {
        let set = set_of(&[FIRST, broken]);
        let error = Migrator::with_set(&admin, &set)
            .migrate()
            .await
            .unwrap_err();
        assert!(matches!(error, MigrateError::NotRecorded { .. }), "{error}");
    }
    // A rollback file that leaves its row.
    let set = set_of(&[FIRST]);
    let error = Migrator::with_set(&admin, &set)
        .rollback(0, false)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::NotRecorded { .. }), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_do_what_no_transaction_allows() {
    let database = Database::Core;
    let server = Server::with_empty(database).await;
    let admin = server.admin(database);
    let concurrently: &'static str = format!(
        "DROP INDEX CONCURRENTLY IF EXISTS ix_things_name;\n\
         CREATE INDEX CONCURRENTLY ix_things_name ON things (name); {SECOND_ROW}"
    )
    .leak();
    let set = set_of(&[FIRST, concurrently]);
    let report = Migrator::with_set(&admin, &set).migrate().await.unwrap();
    assert_eq!((report.version, report.applied.len()), (2, 2));

    // A program that knows more than the database does not serve it; one version missing is a gap.
    let set = set_of(&[FIRST, concurrently, "SELECT 1;"]);
    let error = plan::check_for_serving(&set, &recorded(&server, database).await).unwrap_err();
    assert!(
        matches!(
            error,
            MigrateError::Outdated {
                found: 2,
                needed: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("clm db migrate"), "{error}");
    server
        .execute(database, "DELETE FROM schema_migrations WHERE version = 1")
        .await;
    let error = Migrator::with_set(&admin, &set)
        .migrate()
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            MigrateError::Gap {
                missing: 1,
                applied: 2,
                ..
            }
        ),
        "{error}"
    );
    server.stop().await;
}
