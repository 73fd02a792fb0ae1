//! Certificate authorities that the organization owns or may use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::certificate_plan::extended_key_usage;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{IssuerId, OrganizationId};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::limits::PAGE_SIZE_MAX;
use clm_domain::permission::{Action, Resource};
use clm_domain::states::IssuerStatus;
use clm_pki::name;
pub use clm_secure_api::command::IssuerLimitsChange;
use clm_secure_api::command::{
    ChangeIssuerLimits, CreateCertificateAuthority, ListCertificateAuthorities,
    LoadCertificateAuthority,
};
pub use clm_secure_api::reply::CertificateAuthority;
use clm_secure_api::{CallContext, Caller};
use serde_json::json;
use tokio::time::Instant;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::{Core, audit, step_up};

/// Seconds in a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Longest validity of end-entity certificates below an authority made without limits, in days.
const END_ENTITY_VALIDITY_DAYS_MAX: u64 = 397;
/// Longest validity of authorities, in days.
const AUTHORITY_VALIDITY_DAYS_MAX: u64 = 25 * 366;
/// How long an authority's description is trusted without asking again. The Secure Service judges
/// by its own record in any case.
const CACHE_LIFETIME: Duration = Duration::from_secs(1);
/// Most cached descriptions.
const CACHE_ENTRIES_MAX: usize = 1_000;

/// What is asked for in a new authority.
#[derive(Clone, Debug)]
pub struct NewCertificateAuthority {
    /// A name for people.
    pub name: String,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// The authority above; a root when absent.
    pub parent_issuer_id: Option<IssuerId>,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// What it signs with; the usual one of its key when absent.
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// Validity in days.
    pub validity_days: u32,
    /// How many authorities may follow below.
    pub path_length_max: Option<u8>,
    /// What it may ever sign.
    pub limits: Option<IssuerLimits>,
    /// Organizations that may use it beside its owner.
    pub organization_ids: Vec<OrganizationId>,
}

/// Creates an authority owned by the caller's organization.
///
/// # Errors
/// `Invalid` names the field; `PolicyViolation` when the authority above does not allow it; `Forbidden`
/// without a good step-up proof of a person, which the Secure Service judges.
pub async fn create(
    context: &OpContext,
    core: &Core,
    new: NewCertificateAuthority,
) -> Result<CertificateAuthority> {
    let target = Target::kind(context, Resource::CertificateAuthority);
    access::authorize(context, core, Action::Create, target).await?;
    let name = new.name.clone();
    let created = match command_of(new).and_then(|command| with_proof(context, command)) {
        Ok(command) => {
            let created = core
                .secure
                .create_certificate_authority(call(context), command);
            created.await.map_err(CoreError::from)
        }
        Err(error) => Err(error),
    };
    let row = AuditRow::success(
        CoreEvent::CertificateAuthorityCreated,
        &context.cause(),
        created
            .as_ref()
            .ok()
            .map(|authority| authority.issuer_id.as_uuid()),
        core.clock.now(),
        core.rng.as_ref(),
    )
    .with_details(json!({ "name": name.chars().take(100).collect::<String>() }));
    let row = match &created {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    created
}

/// The first authorities are made by the bootstrap of the installation, which is the one that the Secure
/// Service lets make them without a person.
fn call(context: &OpContext) -> CallContext {
    let call = context.call();
    match context.actor {
        Actor::System => CallContext {
            caller: Caller::Bootstrap,
            ..call
        },
        _ => call,
    }
}

fn with_proof(
    context: &OpContext,
    command: CreateCertificateAuthority,
) -> Result<CreateCertificateAuthority> {
    let proof = step_up::expect_proof(context)?;
    Ok(CreateCertificateAuthority { proof, ..command })
}

/// The command of the Secure Service that makes the authority, without a proof.
///
/// # Errors
/// `Invalid`, naming the field.
pub(crate) fn command_of(new: NewCertificateAuthority) -> Result<CreateCertificateAuthority> {
    if new.name.trim().is_empty() || new.name.len() > 100 || new.name.chars().any(char::is_control)
    {
        let message = "The name must have 1 to 100 bytes and no control characters.";
        return Err(Fault::invalid("name_invalid", "name", message).into());
    }
    let days = u64::from(new.validity_days);
    if !(1..=AUTHORITY_VALIDITY_DAYS_MAX).contains(&days) {
        let message = format!("The validity must be 1 to {AUTHORITY_VALIDITY_DAYS_MAX} days.");
        return Err(Fault::invalid("validity_out_of_range", "validity_days", message).into());
    }
    let signature_algorithm = new
        .signature_algorithm
        .unwrap_or_else(|| new.key_algorithm.default_signature());
    if !signature_algorithm.fits(new.key_algorithm) {
        let message = format!(
            "A {} key cannot sign with {signature_algorithm}.",
            new.key_algorithm
        );
        let field = "signature_algorithm";
        return Err(Fault::invalid("signature_algorithm_invalid", field, message).into());
    }
    let subject_der = name::from_rfc4514(&new.subject)
        .map_err(|error| Fault::invalid("subject_invalid", "subject", error.to_string()))?;
    if name::is_empty(&subject_der) {
        let message = "An authority needs a subject (RFC 5280 §4.1.2.6).";
        return Err(Fault::invalid("subject_missing", "subject", message).into());
    }
    let limits = match new.limits {
        Some(limits) => limits,
        None => default_limits(new.parent_issuer_id.is_none())?,
    };
    Ok(CreateCertificateAuthority {
        name: new.name,
        subject_der,
        parent_issuer_id: new.parent_issuer_id,
        key_algorithm: new.key_algorithm,
        signature_algorithm,
        validity_seconds: days * DAY_SECONDS,
        path_length_max: new.path_length_max,
        limits,
        organization_ids: new.organization_ids,
        proof: None,
    })
}

/// What an authority may sign when nobody says otherwise: a root signs authorities and nothing
/// else, another signs end entities with any name.
fn default_limits(is_root: bool) -> Result<IssuerLimits> {
    let usages = if is_root {
        Vec::new()
    } else {
        [
            extended_key_usage::SERVER_AUTH,
            extended_key_usage::CLIENT_AUTH,
            extended_key_usage::CODE_SIGNING,
            extended_key_usage::EMAIL_PROTECTION,
        ]
        .into_iter()
        .map(|usage| usage.parse().map_err(|error| CoreError::internal(&error)))
        .collect::<Result<Vec<_>>>()?
    };
    let days = if is_root {
        AUTHORITY_VALIDITY_DAYS_MAX
    } else {
        END_ENTITY_VALIDITY_DAYS_MAX
    };
    Ok(IssuerLimits {
        certificate_authority: is_root,
        end_entities: !is_root,
        extended_key_usage: usages,
        key_algorithms: KeyAlgorithm::ALL.to_vec(),
        validity_seconds_max: days * DAY_SECONDS,
        names: NameLimits {
            directory_names: true,
            registered_ids: true,
            ..NameLimits::default()
        },
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    })
}

/// Authorities in order of their age.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<CertificateAuthority>> {
    let target = Target::kind(context, Resource::CertificateAuthority);
    access::authorize(context, core, Action::List, target).await?;
    let command = ListCertificateAuthorities {
        after: page.after.map(IssuerId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_certificate_authorities(context.call(), command)
        .await?;
    Ok(page.page(rows, |authority| authority.issuer_id.as_uuid()))
}

/// One authority that the organization owns or may use.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`].
pub async fn load(
    context: &OpContext,
    core: &Core,
    issuer_id: IssuerId,
) -> Result<CertificateAuthority> {
    let target = Target::kind(context, Resource::CertificateAuthority);
    access::authorize(context, core, Action::Read, target).await?;
    // The Secure Service answers only for authorities that the organization owns or may use.
    let command = LoadCertificateAuthority { issuer_id };
    Ok(core
        .secure
        .load_certificate_authority(context.call(), command)
        .await?)
}

/// Changes what an authority of the organization may sign. The Secure Service alone decides whether
/// the proof is good for it.
///
/// # Errors
/// `Forbidden` without a good proof; `Conflict` when it was changed meanwhile; `PolicyViolation` when
/// the limits do not fit those above and below.
pub async fn change_limits(
    context: &OpContext,
    core: &Core,
    change: IssuerLimitsChange,
) -> Result<CertificateAuthority> {
    let target = Target::kind(context, Resource::CertificateAuthority);
    access::authorize(context, core, Action::Update, target).await?;
    let issuer_id = change.issuer_id;
    let command = LoadCertificateAuthority { issuer_id };
    core.secure
        .load_certificate_authority(context.call(), command)
        .await?;
    let stated_reason: String = change.reason.chars().take(200).collect();
    let changed = match step_up::expect_proof(context) {
        Ok(proof) => {
            let command = ChangeIssuerLimits { change, proof };
            let changed = core.secure.change_issuer_limits(context.call(), command);
            changed.await.map_err(CoreError::from)
        }
        Err(error) => Err(error),
    };
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let id = Some(issuer_id.as_uuid());
    let event = CoreEvent::IssuerLimitsChanged;
    let row = AuditRow::success(event, &context.cause(), id, now, rng)
        .with_details(json!({ "stated_reason": stated_reason }));
    let row = match &changed {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    changed
}

/// Descriptions of authorities that were loaded a moment ago, so that issuing costs no look-up.
#[derive(Default)]
pub struct AuthorityCache {
    entries: Mutex<HashMap<CacheKey, (Instant, Arc<CertificateAuthority>)>>,
}

/// The organization that asks, and the authority; `None` for the default one.
type CacheKey = (OrganizationId, Option<IssuerId>);

impl AuthorityCache {
    fn find(&self, key: CacheKey) -> Option<Arc<CertificateAuthority>> {
        let entries = self.entries.lock().ok()?;
        let (loaded_at, authority) = entries.get(&key)?;
        (loaded_at.elapsed() < CACHE_LIFETIME).then(|| Arc::clone(authority))
    }

    fn insert(&self, key: CacheKey, authority: &Arc<CertificateAuthority>) {
        if let Ok(mut entries) = self.entries.lock() {
            if entries.len() >= CACHE_ENTRIES_MAX {
                entries.clear();
            }
            entries.insert(key, (Instant::now(), Arc::clone(authority)));
        }
    }
}

/// The authority that shall sign: the one asked for, else the oldest active one below a root that
/// outlives the certificate. The right to ask for a certificate includes the use of the
/// organization's authorities.
pub(crate) async fn select(
    context: &OpContext,
    core: &Core,
    asked: Option<IssuerId>,
    validity: (DateTime<Utc>, DateTime<Utc>),
) -> Result<Arc<CertificateAuthority>> {
    let key = (context.organization_id, asked);
    if let Some(authority) = core.authorities.find(key)
        && (asked.is_some() || outlives(&authority, validity))
    {
        return Ok(authority);
    }
    let authority = match asked {
        Some(issuer_id) => load_asked(context, core, issuer_id).await?,
        None => select_default(context, core, validity).await?,
    };
    let authority = Arc::new(authority);
    core.authorities.insert(key, &authority);
    Ok(authority)
}

/// The authority that was named. An unknown and a foreign one look alike.
async fn load_asked(
    context: &OpContext,
    core: &Core,
    issuer_id: IssuerId,
) -> Result<CertificateAuthority> {
    let command = LoadCertificateAuthority { issuer_id };
    let loaded = core
        .secure
        .load_certificate_authority(context.call(), command)
        .await;
    loaded.map_err(|error| {
        let mut fault = error.0;
        if fault.kind == ErrorKind::NotFound {
            let message = fault.message.clone();
            fault = fault.with_violation("certificate_authority_id", message);
        }
        CoreError(fault)
    })
}

async fn select_default(
    context: &OpContext,
    core: &Core,
    validity: (DateTime<Utc>, DateTime<Utc>),
) -> Result<CertificateAuthority> {
    let command = ListCertificateAuthorities {
        after: None,
        limit: PAGE_SIZE_MAX,
    };
    core.secure
        .list_certificate_authorities(context.call(), command)
        .await?
        .into_iter()
        .find(|authority| {
            authority.status == IssuerStatus::Active
                && authority.limits.end_entities
                && !authority.limits.certificate_authority
                && outlives(authority, validity)
        })
        .ok_or_else(|| {
            Fault::new(
                ErrorKind::Conflict,
                "no_certificate_authority",
                "Your organization may use no active certificate authority that issues to end \
                 entities for so long. Create one, ask for a shorter validity, or name one in \
                 certificate_authority_id.",
            )
            .into()
        })
}

/// Whether the authority is valid now and until the certificate ends.
fn outlives(
    authority: &CertificateAuthority,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> bool {
    authority.not_before <= now && authority.not_after >= until
}
