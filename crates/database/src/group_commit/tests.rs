//! Against a real PostgreSQL, with a table of the test's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::*;
use crate::migrate::tests::server::Server;
use crate::pool::{Database, PoolOptions};

/// The value that the table refuses.
const REFUSED: i32 = -1;
/// The value at which the writer panics.
const PANIC: i32 = -2;
/// How long the first statement takes, so that the others come meanwhile.
const FIRST_SECONDS: f64 = 0.3;

#[derive(Clone, Debug)]
struct Item {
    id: u128,
    value: i32,
    labels: Vec<String>,
    size: usize,
}

fn item(id: u128, value: i32) -> Item {
    Item {
        id,
        value,
        labels: Vec::new(),
        size: 1,
    }
}

#[derive(Debug, Default)]
struct Writer {
    statements: Arc<AtomicUsize>,
}

impl BatchWriter for Writer {
    type Item = Item;
    type Key = u128;
    type Outcome = i32;

    const NAME: &'static str = "test items";

    fn key(item: &Item) -> u128 {
        item.id
    }

    fn bytes(item: &Item) -> usize {
        item.size
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        organization_id: OrganizationId,
        items: &[&Item],
    ) -> Result<Vec<i32>, sqlx::Error> {
        let statement = self.statements.fetch_add(1, Ordering::SeqCst);
        assert!(items.iter().all(|item| item.value != PANIC), "planted");
        sqlx::query(
            "INSERT INTO items (statement, organization_id, id, value, labels)
             SELECT $1, $2, id, value, labels::text[]
             FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS new (id, value, labels),
                pg_sleep($6)",
        )
        .bind(i32::try_from(statement).unwrap())
        .bind(organization_id.as_uuid())
        .bind(column(items, |item| Uuid::from_u128(item.id)))
        .bind(column(items, |item| item.value))
        .bind(column(items, |item| array_literal(&item.labels)))
        .bind(if statement == 0 { FIRST_SECONDS } else { 0.0 })
        .execute(connection)
        .await?;
        Ok(column(items, |item| item.value * 10))
    }
}

struct Bench {
    server: Server,
    pool: Pool,
    group: GroupCommit<Writer>,
    statements: Arc<AtomicUsize>,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(&PoolOptions::default()).await
    }

    async fn start_with(options: &PoolOptions) -> Self {
        let server = Server::with_empty(Database::Core).await;
        let table = "CREATE TABLE items (statement integer, organization_id uuid, id uuid,
            value integer CONSTRAINT ck_value CHECK (value <> -1), labels text[],
            backend integer DEFAULT pg_backend_pid())";
        server.execute(Database::Core, table).await;
        let connect = server.admin(Database::Core);
        let pool = Pool::new(Database::Core, connect, options);
        let writer = Writer::default();
        let statements = Arc::clone(&writer.statements);
        Self {
            group: GroupCommit::new(pool.clone(), writer),
            server,
            pool,
            statements,
        }
    }

    /// Submits all at once and returns what each hears.
    async fn submit(
        &self,
        items: Vec<(OrganizationId, Item)>,
    ) -> Vec<Result<(Item, i32), DatabaseError>> {
        let tasks: Vec<_> = items
            .into_iter()
            .map(|(organization_id, item)| {
                let group = self.group.clone();
                tokio::spawn(async move { group.submit(organization_id, item).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        answers
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.pool.unscoped())
            .await
            .unwrap()
    }

    async fn stop(self) {
        self.pool.close().await;
        self.server.stop().await;
    }
}

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

#[tokio::test]
async fn who_comes_during_a_commit_is_written_together() {
    let bench = Bench::start().await;
    let items = (1..=50)
        .map(|n: i32| (organization(1), item(n.unsigned_abs().into(), n)))
        .collect();
    for (index, answer) in bench.submit(items).await.into_iter().enumerate() {
        let (item, outcome) = answer.unwrap();
        assert_eq!(item.id, index as u128 + 1);
        assert_eq!(outcome, item.value * 10, "each hears of its own");
    }
    let all = "SELECT count(*) FROM items";
    assert_eq!(bench.count(all).await, 50, "each once");
    assert!(
        bench.statements.load(Ordering::SeqCst) < 10,
        "fifty callers share a few statements"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_refused_item_harms_no_other() {
    let bench = Bench::start().await;
    let value = |n: i32| if n == 20 { REFUSED } else { n };
    let items = (1..=30)
        .map(|n: i32| (organization(1), item(n.unsigned_abs().into(), value(n))))
        .collect();
    for answer in bench.submit(items).await {
        match answer {
            Ok((item, _)) => assert_ne!(item.value, REFUSED),
            Err(error) => assert!(
                matches!(&error, DatabaseError::ConstraintViolated { constraint } if constraint == "ck_value"),
                "{error:?}"
            ),
        }
    }
    assert_eq!(bench.count("SELECT count(*) FROM items").await, 29);
    bench.stop().await;
}

#[tokio::test]
async fn a_batch_holds_one_organization_and_each_key_once() {
    let bench = Bench::start().await;
    let items = (0..60)
        .map(|n: i32| {
            let key = (n % 20).unsigned_abs().into();
            (organization((n % 3).unsigned_abs().into()), item(key, n))
        })
        .collect();
    for answer in bench.submit(items).await {
        answer.unwrap();
    }
    assert_eq!(bench.count("SELECT count(*) FROM items").await, 60);
    let mixed = "SELECT count(*) FROM (SELECT 1 FROM items GROUP BY statement
        HAVING count(DISTINCT organization_id) > 1 OR count(DISTINCT id) < count(*)) AS mixed";
    assert_eq!(bench.count(mixed).await, 0);
    bench.stop().await;
}

#[tokio::test]
async fn who_stops_waiting_is_written_all_the_same() {
    let bench = Bench::start().await;
    let submitted = bench.group.submit(organization(1), item(1, 1));
    let impatient = tokio::time::timeout(Duration::from_millis(50), submitted).await;
    assert!(impatient.is_err());
    let (_, outcome) = bench
        .group
        .submit(organization(1), item(2, 2))
        .await
        .unwrap();
    assert_eq!(outcome, 20);
    let mut left = 100;
    while bench.count("SELECT count(*) FROM items").await < 2 && left > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        left -= 1;
    }
    assert_eq!(bench.count("SELECT count(*) FROM items").await, 2);
    bench.stop().await;
}

#[tokio::test]
async fn a_panic_of_the_writer_is_an_open_outcome_and_keeps_nobody_else() {
    let bench = Bench::start().await;
    for id in 1..=3 {
        let answer = bench.group.submit(organization(1), item(id, PANIC)).await;
        assert!(
            matches!(answer, Err(DatabaseError::OutcomeUnknown { .. })),
            "{answer:?}"
        );
    }
    bench
        .group
        .submit(organization(1), item(4, 4))
        .await
        .unwrap();
    bench.stop().await;
}

#[tokio::test]
async fn a_panic_of_the_writer_does_not_strand_who_waits() {
    let bench = Bench::start().await;
    let value = |n: i32| if n == 2 { PANIC } else { n };
    // The first is being written when the others come: the second batch panics, with all in it.
    let first = bench.group.clone();
    let first = tokio::spawn(async move { first.submit(organization(1), item(1, 1)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut items: Vec<_> = (2..=4)
        .map(|n: i32| (organization(1), item(n.unsigned_abs().into(), value(n))))
        .collect();
    // Of the same key as another one: it waits for the third batch.
    items.push((organization(1), item(4, 5)));
    let answers = bench.submit(items).await;
    first.await.unwrap().unwrap();
    let unknown = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(unknown, 3, "{answers:?}");
    assert_eq!(bench.count("SELECT count(*) FROM items").await, 2);
    bench.stop().await;
}

#[tokio::test]
async fn large_items_are_written_apart_and_too_many_are_refused() {
    let bench = Bench::start().await;
    let large = |n: i32, size: usize| {
        let mut item = item(n.unsigned_abs().into(), n);
        item.size = size;
        (organization(1), item)
    };
    let first = bench.group.clone();
    let first = tokio::spawn(async move { first.submit(organization(1), item(100, 1)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let items = (1..=9).map(|n| large(n, BATCH_BYTES_MAX - 1)).collect();
    let answers = bench.submit(items).await;
    first.await.unwrap().unwrap();
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(refused, 1, "eight fit into the queue: {answers:?}");
    let together =
        "SELECT count(*) FROM (SELECT FROM items GROUP BY statement HAVING count(*) > 1) AS t";
    assert_eq!(bench.count(together).await, 0);
    bench.stop().await;
}

#[tokio::test]
async fn without_a_database_everybody_hears_so() {
    let bench = Bench::start().await;
    bench.pool.close().await;
    let items = (1..=20)
        .map(|n: i32| (organization(1), item(n.unsigned_abs().into(), n)))
        .collect();
    for answer in bench.submit(items).await {
        assert!(
            matches!(answer, Err(DatabaseError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    bench.stop().await;
}

#[tokio::test]
async fn arrays_keep_every_text() {
    let bench = Bench::start().await;
    let odd = [
        "",
        " ",
        "NULL",
        "null",
        "a,b",
        "{}",
        "{a}",
        "\"",
        "\\",
        "\\\"",
        "'",
        "a\nb\tc\r",
        "ünïcödé 日本",
        "DNS:a.example",
        "\u{1}\u{7f}",
    ];
    let mut all = item(1, 1);
    all.labels = odd.map(str::to_owned).to_vec();
    let none = item(2, 2);
    for item in [all.clone(), none] {
        bench.group.submit(organization(1), item).await.unwrap();
    }
    let stored: Vec<Vec<String>> = sqlx::query_scalar("SELECT labels FROM items ORDER BY value")
        .fetch_all(bench.pool.unscoped())
        .await
        .unwrap();
    assert_eq!(stored, [all.labels, Vec::new()]);
    bench.stop().await;
}

/// One thread, so that the order is certain: the writer is ready before all but the first caller.
#[tokio::test]
async fn callers_on_their_way_join_the_first_batch() {
    let bench = Bench::start().await;
    let first = bench.group.submit(organization(1), item(0, 1));
    let others = async {
        let items = (1..4).map(|id| (organization(1), item(id, 1))).collect();
        bench.submit(items).await
    };
    let (first, others) = tokio::join!(first, others);
    first.unwrap();
    for answer in others {
        answer.unwrap();
    }
    assert_eq!(bench.statements.load(Ordering::SeqCst), 1);
    bench.stop().await;
}

#[tokio::test]
async fn batches_that_follow_each_other_take_one_connection() {
    let bench = Bench::start().await;
    // The pool has several to choose from.
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(bench.pool.unscoped().acquire().await.unwrap());
    }
    drop(idle);
    for id in 0..12 {
        let answers = bench.submit(vec![(organization(1), item(id, 1))]).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    let backends = bench.count("SELECT count(DISTINCT backend) FROM items");
    assert_eq!(backends.await, 1);
    // A connection that is kept back does not hold up the end.
    tokio::time::timeout(Duration::from_secs(5), bench.pool.close())
        .await
        .unwrap();
    bench.stop().await;
}

#[tokio::test]
async fn a_small_pool_keeps_nothing_back_from_others() {
    let bench = Bench::start_with(&PoolOptions {
        connections_max: 2,
        acquire_timeout: Duration::from_millis(500),
        ..PoolOptions::default()
    })
    .await;
    for id in 0..4 {
        let answers = bench
            .submit(vec![
                (organization(1), item(2 * id, 1)),
                (organization(2), item(2 * id + 1, 1)),
            ])
            .await;
        assert!(answers.iter().all(Result::is_ok));
    }
    let first = bench.pool.unscoped().acquire().await.unwrap();
    let second = bench.pool.unscoped().acquire().await.unwrap();
    drop((first, second));
    bench.stop().await;
}
