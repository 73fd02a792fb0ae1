//! Rotation of a data key: how fast it moves private keys, beside a bare batched `UPDATE` of the same
//! rows with the same bytes in the same table; and what a throttled one costs those who ask for
//! certificates meanwhile.
//!
//! A rotation waits a minute before its last pass, for processes that have not heard of it. The
//! harness does not wait: it dates the rotation back, as the superuser.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clm_api_types::key_rotations::{KeyRotation, KeyRotationCreate};
use clm_database::pool::Database;
use clm_domain::states::KeyRotationType;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, FromRow};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::arguments::Plan;
use crate::load::{self, Client as _, Sample};
use crate::parity;
use crate::product::{Product, ProductClient};
use crate::report::progress;

/// Clients that ask for certificates beside a rotation.
pub(crate) const CLIENTS: u16 = 64;
/// Most keys that one transaction moves, as in the product.
const BATCH_ITEMS: usize = 500;
/// How often it is looked how far a rotation is.
const POLL: Duration = Duration::from_millis(5);
/// How long a rotation may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// So many seconds a throttled rotation takes at least, so that it outlasts the measurement beside it.
const THROTTLED_SECONDS_MIN: u64 = 20;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    /// Private keys per second that rotations without throttle moved.
    pub(crate) moved_per_second: Vec<f64>,
    /// The same of bare updates.
    pub(crate) bare_per_second: Vec<f64>,
    /// Issuance without a rotation.
    pub(crate) issuance_alone: Vec<Sample>,
    /// Issuance during a throttled rotation.
    pub(crate) issuance_during: Vec<Sample>,
}

impl Rotation {
    /// The rotation's speed as a share of the bare update's.
    pub(crate) fn share_of_update(&self) -> Option<f64> {
        share(mean(&self.moved_per_second), mean(&self.bare_per_second))
    }

    /// Issuance during a rotation, as a share of issuance without.
    pub(crate) fn share_of_issuance(&self) -> Option<f64> {
        let rate = |samples: &[Sample]| {
            mean(&samples.iter().map(|one| one.per_second).collect::<Vec<_>>())
        };
        share(rate(&self.issuance_during), rate(&self.issuance_alone))
    }

    /// All measurements of issuance.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.issuance_alone.iter().chain(&self.issuance_during)
    }
}

/// A private key as it is stored.
#[derive(Debug, FromRow)]
struct Sealed {
    id: Uuid,
    encrypted_key_material: Vec<u8>,
    encryption_iv: Vec<u8>,
    encryption_auth_tag: Vec<u8>,
}

struct Measurement<'a> {
    product: &'a Product,
    records: PgConnection,
    rotations: u32,
}

/// Makes private keys, and measures rotations of them.
///
/// # Errors
/// When something does not run.
pub(crate) async fn measure(product: &Product, plan: &Plan) -> anyhow::Result<Rotation> {
    progress(&format!("making {} private keys", plan.rotated_keys));
    make_keys(product.key_clients(CLIENTS)?, plan.rotated_keys).await?;
    let directory = product.server.installation().postgresql_socket_directory();
    let directory = directory.context("the product's socket was not found")?;
    let mut measurement = Measurement {
        product,
        records: parity::admin(&directory, Database::Secure)
            .connect()
            .await?,
        rotations: 0,
    };
    let mut rotation = Rotation::default();
    for number in 1..=plan.rounds {
        progress(&format!("rotation {number} of {}", plan.rounds));
        let (ended, moved_per_second) = measurement.rotate_at_once().await?;
        rotation.moved_per_second.push(moved_per_second);
        let bare_per_second = measurement.update_there_and_back(&ended).await?;
        rotation.bare_per_second.push(bare_per_second);
        progress(&format!(
            "  {moved_per_second:.0}/s, bare {bare_per_second:.0}/s"
        ));
    }
    for number in 1..=plan.rounds {
        progress(&format!(
            "issuance beside rotation {number} of {}",
            plan.rounds
        ));
        let alone = load::run(product.clients(CLIENTS), plan.period).await?;
        let during = measurement.issue_during(plan).await?;
        progress(&format!(
            "  {:.0}/s, during {:.0}/s",
            alone.per_second, during.per_second
        ));
        rotation.issuance_alone.push(alone);
        rotation.issuance_during.push(during);
    }
    Ok(rotation)
}

async fn make_keys(clients: Vec<ProductClient>, count: u32) -> anyhow::Result<()> {
    let each = count.div_ceil(u32::from(CLIENTS));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            for _ in 0..each {
                client.issue().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.context("a client broke off")?
            .context("making a private key")?;
    }
    Ok(())
}

impl Measurement<'_> {
    /// Rotates without throttle. The time runs from the first progress that is seen, not from the
    /// start: a worker looks for rotations once a second.
    async fn rotate_at_once(&mut self) -> anyhow::Result<(KeyRotation, f64)> {
        let rotation = self.start(KeyRotationType::Emergency, None).await?;
        let total = rotation.items_total;
        let (first, since) = loop {
            let processed = self.processed(&rotation).await?;
            if processed > 0 {
                break (processed, Instant::now());
            }
            tokio::time::sleep(POLL).await;
        };
        ensure!(first < total, "too few keys to see a rotation at work");
        while self.processed(&rotation).await? < total {
            ensure!(since.elapsed() < PATIENCE, "a rotation does not end");
            tokio::time::sleep(POLL).await;
        }
        let moved_per_second = (total - first) as f64 / since.elapsed().as_secs_f64();
        self.finish(&rotation).await?;
        Ok((rotation, moved_per_second))
    }

    /// The same rows with the same bytes, under the old key and back under the new one, so that they
    /// open again afterwards. Rows per second.
    async fn update_there_and_back(&mut self, rotation: &KeyRotation) -> anyhow::Result<f64> {
        let new = rotation
            .new_encryption_key_id
            .context("there is no new key")?;
        let rows: Vec<Sealed> = sqlx::query_as(
            "-- rotation::sealed
            SELECT id, encrypted_key_material, encryption_iv, encryption_auth_tag
            FROM private_keys WHERE organization_id = $1 AND encryption_key_id = $2 ORDER BY id",
        )
        .bind(rotation.organization_id)
        .bind(new)
        .fetch_all(&mut self.records)
        .await?;
        let begun = Instant::now();
        for key in [rotation.old_encryption_key_id, new] {
            for batch in rows.chunks(BATCH_ITEMS) {
                self.update(rotation.organization_id, key, batch).await?;
            }
        }
        Ok(2.0 * rows.len() as f64 / begun.elapsed().as_secs_f64())
    }

    async fn update(
        &mut self,
        organization_id: Uuid,
        encryption_key_id: Uuid,
        batch: &[Sealed],
    ) -> anyhow::Result<()> {
        let column = |value: fn(&Sealed) -> &[u8]| batch.iter().map(value).collect::<Vec<_>>();
        let updated = sqlx::query(
            "-- rotation::update
            UPDATE private_keys p
            SET encrypted_key_material = n.material, encryption_iv = n.nonce,
                encryption_auth_tag = n.tag, encryption_key_id = $2
            FROM unnest($3::uuid[], $4::bytea[], $5::bytea[], $6::bytea[])
                AS n (id, material, nonce, tag)
            WHERE p.organization_id = $1 AND p.id = n.id",
        )
        .bind(organization_id)
        .bind(encryption_key_id)
        .bind(batch.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(column(|row| &row.encrypted_key_material))
        .bind(column(|row| &row.encryption_iv))
        .bind(column(|row| &row.encryption_auth_tag))
        .execute(&mut self.records)
        .await?;
        ensure!(
            usize::try_from(updated.rows_affected()) == Ok(batch.len()),
            "the bare update missed rows"
        );
        Ok(())
    }

    /// Full load of issuance while a throttled rotation is under way.
    async fn issue_during(&mut self, plan: &Plan) -> anyhow::Result<Sample> {
        let keys = u64::from(plan.rotated_keys);
        let seconds = THROTTLED_SECONDS_MIN.max(2 * plan.period.measured.as_secs());
        // What an operator gets without asking for more, unless there are too few keys for it.
        let throttle = u32::try_from(keys / seconds)?.clamp(1, 2_000);
        let rotation = self.start(KeyRotationType::Manual, Some(throttle)).await?;
        while self.processed(&rotation).await? == 0 {
            tokio::time::sleep(POLL).await;
        }
        let sample = load::run(self.product.clients(CLIENTS), plan.period).await?;
        ensure!(
            self.processed(&rotation).await? < rotation.items_total,
            "the rotation ended before the measurement"
        );
        sqlx::query("UPDATE key_rotation_history SET items_per_second_max = NULL WHERE id = $1")
            .bind(rotation.id)
            .execute(&mut self.records)
            .await?;
        self.finish(&rotation).await?;
        Ok(sample)
    }

    async fn start(
        &mut self,
        rotation_type: KeyRotationType,
        items_per_second_max: Option<u32>,
    ) -> anyhow::Result<KeyRotation> {
        let wish = KeyRotationCreate {
            rotation_type,
            reason: Some("benchmark".to_owned()),
            items_per_second_max,
        };
        self.rotations += 1;
        let key = format!("benchmark-rotation-{:06}", self.rotations);
        let api = self.product.api()?;
        api.start_key_rotation(&wish, &key)
            .await
            .context("starting a rotation")
    }

    async fn processed(&mut self, rotation: &KeyRotation) -> anyhow::Result<i64> {
        let processed = "SELECT items_processed FROM key_rotation_history WHERE id = $1";
        Ok(sqlx::query_scalar(processed)
            .bind(rotation.id)
            .fetch_one(&mut self.records)
            .await?)
    }

    /// Lets a rotation end without its minute. All must have moved.
    async fn finish(&mut self, rotation: &KeyRotation) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let running = sqlx::query(
                "UPDATE key_rotation_history
                SET started_at = least(started_at, now() - interval '2 minutes'),
                    next_batch_at = least(next_batch_at, now())
                WHERE id = $1 AND status = 'in_progress'",
            )
            .bind(rotation.id)
            .execute(&mut self.records)
            .await?;
            if running.rows_affected() == 0 {
                let status = "SELECT status FROM key_rotation_history WHERE id = $1";
                let status: String = sqlx::query_scalar(status)
                    .bind(rotation.id)
                    .fetch_one(&mut self.records)
                    .await?;
                ensure!(status == "completed", "a rotation ended as {status}");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("a rotation does not end")
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    Some(part? / whole.filter(|rate| *rate > 0.0)?)
}
