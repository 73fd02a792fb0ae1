//! Whether the platform can work.

use chrono::{DateTime, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_secure_api::command::CheckHealth;
use clm_secure_api::reply::Health;
use clm_secure_api::{CallContext, SecureClient};

use crate::Core;
use crate::context::OpContext;
use crate::store::maintenance;

/// Fewer months of audit partitions ahead than this are reported.
const AUDIT_PARTITIONS_AHEAD_MIN: i32 = 2;

/// Most batches of one kind that one round of housekeeping removes; the next round goes on.
const BATCHES_MAX: usize = 1_000;
/// Why housekeeping sees every organization.
const MAINTENANCE: Scope = Scope::System("housekeeping removes expired rows of every organization");

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub message: String,
}

/// Checks everything that issuing needs.
pub async fn check(core: &Core) -> Vec<Check> {
    let context = OpContext::system(core, SYSTEM_ORGANIZATION);
    let mut checks = vec![core_database(core).await];
    checks.extend(secure_service(&core.secure, context.call()).await);
    checks
}

async fn core_database(core: &Core) -> Check {
    let name = "core_database";
    let scope = Scope::System("health reads how many audit partitions lie ahead");
    let ahead = match core.pool.begin(scope).await {
        Ok(mut transaction) => maintenance::audit_partitions_ahead(&mut transaction)
            .await
            .map_err(|error| core.pool.statement_error(error)),
        Err(error) => Err(error),
    };
    match ahead {
        Ok(months) if months >= AUDIT_PARTITIONS_AHEAD_MIN => Check {
            name,
            passed: true,
            message: "answers".to_owned(),
        },
        Ok(months) => Check {
            name,
            passed: false,
            message: partitions_message(months),
        },
        Err(error) => {
            tracing::warn!(error.detail = %error, "the core database failed its check");
            Check {
                name,
                passed: false,
                message: "does not answer".to_owned(),
            }
        }
    }
}

/// Checks the Secure Service alone.
pub(crate) async fn secure_service(secure: &SecureClient, call: CallContext) -> Vec<Check> {
    let health = match secure.check_health(call, CheckHealth {}).await {
        Ok(health) => health,
        Err(error) => {
            return vec![Check {
                name: "secure_service",
                passed: false,
                message: error.0.message,
            }];
        }
    };
    let partitions = health.audit_partitions_ahead;
    let database = if !health.database {
        (false, "does not answer".to_owned())
    } else if partitions < AUDIT_PARTITIONS_AHEAD_MIN {
        (false, partitions_message(partitions))
    } else {
        (true, "answers".to_owned())
    };
    let master_key = master_key_message(&health);
    vec![
        Check {
            name: "secure_database",
            passed: database.0,
            message: database.1,
        },
        Check {
            name: "master_key",
            passed: health.master_key,
            message: master_key,
        },
    ]
}

fn master_key_message(health: &Health) -> String {
    let (provider, version) = (&health.master_key_provider, health.master_key_version);
    let seal = &health.seal;
    if seal.sealed {
        let missing = seal
            .threshold
            .unwrap_or_default()
            .saturating_sub(seal.given);
        return format!(
            "sealed: {missing} more of {} shares of the {provider} master key (version {version}) \
             are needed (clm unseal)",
            seal.shares.unwrap_or_default()
        );
    }
    if health.master_key {
        return format!("the {provider} master key (version {version}) opens what is stored");
    }
    format!("the {provider} master key (version {version}) does not open what is stored")
}

fn partitions_message(months: i32) -> String {
    format!(
        "audit partitions reach only {months} months ahead; the background loop makes more, see \
         the log for why it could not"
    )
}

/// Housekeeping: removes what has expired and makes audit partitions ahead.
///
/// # Errors
/// Those of the database; the next round goes on.
pub async fn maintain(core: &Core) -> crate::error::Result<()> {
    use chrono::Duration;
    /// Months of audit partitions to hold ready.
    const PARTITION_MONTHS: i32 = 12;
    /// Days that applied events are remembered.
    const INBOX_DAYS: i64 = 7;
    /// Hours that notes about changed rights stay; processes look at them within a second.
    const RIGHTS_CHANGE_HOURS: i64 = 1;
    /// Days that ended sessions stay listed.
    const SESSION_DAYS: i64 = 30;
    let now = core.clock.now();
    core.pool
        .transact::<_, DatabaseError, _>("health::make_partitions", MAINTENANCE, |connection| {
            Box::pin(async move {
                maintenance::ensure_audit_partitions(connection, PARTITION_MONTHS).await?;
                Ok(())
            })
        })
        .await?;
    remove(core, Expired::IdempotencyKeys, now).await?;
    remove(core, Expired::StepUpProofs, now).await?;
    remove(core, Expired::QuotaLeases, now).await?;
    remove(core, Expired::InboxRows, now - Duration::days(INBOX_DAYS)).await?;
    remove(core, Expired::Sessions, now - Duration::days(SESSION_DAYS)).await?;
    remove(core, Expired::OneTimeLinks, now).await?;
    remove(
        core,
        Expired::RightsChanges,
        now - Duration::hours(RIGHTS_CHANGE_HOURS),
    )
    .await
}

/// What housekeeping removes.
#[derive(Clone, Copy)]
enum Expired {
    IdempotencyKeys,
    StepUpProofs,
    QuotaLeases,
    InboxRows,
    Sessions,
    OneTimeLinks,
    RightsChanges,
}

/// Removes what expired before `limit`, in transactions of one batch each, so that none of them holds
/// many rows, until a batch is short or this round has done enough.
async fn remove(core: &Core, expired: Expired, limit: DateTime<Utc>) -> crate::error::Result<()> {
    for _ in 0..BATCHES_MAX {
        let removed = core
            .pool
            .transact::<_, DatabaseError, _>("health::remove", MAINTENANCE, |connection| {
                Box::pin(async move {
                    Ok(match expired {
                        Expired::IdempotencyKeys => {
                            maintenance::delete_expired_idempotency_keys(connection, limit).await?
                        }
                        Expired::StepUpProofs => {
                            maintenance::delete_expired_step_up_proofs(connection, limit).await?
                        }
                        Expired::QuotaLeases => {
                            maintenance::delete_expired_quota_leases(connection, limit).await?
                        }
                        Expired::InboxRows => {
                            maintenance::delete_old_inbox_rows(connection, limit).await?
                        }
                        Expired::Sessions => {
                            maintenance::delete_old_sessions(connection, limit).await?
                        }
                        Expired::OneTimeLinks => {
                            maintenance::delete_expired_one_time_links(connection, limit).await?
                        }
                        Expired::RightsChanges => {
                            maintenance::delete_old_rights_changes(connection, limit).await?
                        }
                    })
                })
            })
            .await?;
        if removed < maintenance::BATCH_ROWS_MAX.cast_unsigned() {
            break;
        }
    }
    Ok(())
}
