//! Comparing both databases: every certificate must stand in both, in the same state, with its
//! audit event on each side.
//!
//! Both lists come in the order of their ids, page by page, so that memory does not grow with the
//! number of certificates.

use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Duration, Utc};
use clm_database::Scope;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::ids::{CertificateId, OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::limits::PAGE_SIZE_MAX;
use clm_secure_api::command::ListCertificateStates;
use clm_secure_api::reply::CertificateState;
use serde_json::json;

use crate::context::OpContext;
use crate::error::Result;
use crate::store::certificate_metadata::{self, ProjectedState};
use crate::{Core, audit};

/// Most differences of one comparison that are recorded: more of them have one cause.
const RECORDED_MAX: usize = 100;

/// One difference between the two databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// What differs.
    pub kind: DifferenceKind,
}

/// What differs about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It stands in `clm_secure_db` only.
    MissingInCore,
    /// It stands in `clm_core_db` only.
    MissingInSecure,
    /// A column differs.
    Field {
        /// The column of the projection.
        name: &'static str,
        /// What the secure side says.
        secure: String,
        /// What the core side says.
        core: String,
    },
    /// `secure_audit_log` has no event of its issuance.
    NotAuditedInSecure,
    /// `audit_log` has no event of its issuance.
    NotAuditedInCore,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            certificate_id,
            organization_id,
            kind,
        } = self;
        write!(
            f,
            "certificate {certificate_id} of organization {organization_id}: "
        )?;
        match kind {
            DifferenceKind::MissingInCore => f.write_str("missing in clm_core_db"),
            DifferenceKind::MissingInSecure => f.write_str("missing in clm_secure_db"),
            DifferenceKind::Field { name, secure, core } => {
                write!(
                    f,
                    "{name} is '{secure}' in clm_secure_db and '{core}' in clm_core_db"
                )
            }
            DifferenceKind::NotAuditedInSecure => {
                f.write_str("no event of its issuance in secure_audit_log")
            }
            DifferenceKind::NotAuditedInCore => {
                f.write_str("no event of its issuance in audit_log")
            }
        }
    }
}

/// Every difference between the two databases, in order of certificates. Certificates younger than
/// `settle` are left out: they may be under way.
///
/// # Errors
/// Those of both databases.
pub async fn check(core: &Core, settle: Duration) -> Result<Vec<Difference>> {
    let limit = core.clock.now() - settle;
    let mut secure = SecureSide::default();
    let mut projected = CoreSide::default();
    let mut differences = Vec::new();
    loop {
        secure.fill(core).await?;
        projected.fill(core).await?;
        let step = match (secure.page.front(), projected.page.front()) {
            (None, None) => return Ok(differences),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(left), Some(right)) => left.record.certificate_id.cmp(&right.certificate_id),
        };
        let left = if step.is_le() {
            secure.page.pop_front()
        } else {
            None
        };
        let right = if step.is_ge() {
            projected.page.pop_front()
        } else {
            None
        };
        compare(left.as_ref(), right.as_ref(), limit, &mut differences);
    }
}

/// Records the differences in the audit log, each in its organization, at most
/// [`RECORDED_MAX`] of one comparison.
///
/// # Errors
/// Those of the database.
pub async fn record(core: &Core, differences: &[Difference]) -> Result<()> {
    for difference in differences.iter().take(RECORDED_MAX) {
        let context = OpContext::system(core, difference.organization_id);
        let row = AuditRow::success(
            CoreEvent::ReconciliationDifferenceFound,
            &context.cause(),
            None,
            core.clock.now(),
            core.rng.as_ref(),
        )
        .with_details(json!({
            "certificate_id": difference.certificate_id,
            "difference": difference.to_string(),
        }));
        audit::record(&context, core, row).await?;
    }
    Ok(())
}

fn compare(
    secure: Option<&CertificateState>,
    core: Option<&ProjectedState>,
    limit: DateTime<Utc>,
    differences: &mut Vec<Difference>,
) {
    let young = secure.is_some_and(|state| state.created_at > limit)
        || core.is_some_and(|state| state.created_at > limit);
    if young {
        return;
    }
    match (secure, core) {
        (Some(state), None) => {
            if !state.is_issuer {
                differences.push(of_secure(state, DifferenceKind::MissingInCore));
            }
            if !state.audited {
                differences.push(of_secure(state, DifferenceKind::NotAuditedInSecure));
            }
        }
        (None, Some(state)) => differences.push(Difference {
            certificate_id: state.certificate_id,
            organization_id: state.organization_id,
            kind: DifferenceKind::MissingInSecure,
        }),
        (Some(state), Some(projected)) => {
            for (name, secure, core) in fields(state, projected) {
                if secure != core {
                    let kind = DifferenceKind::Field { name, secure, core };
                    differences.push(of_secure(state, kind));
                }
            }
            if !state.audited {
                differences.push(of_secure(state, DifferenceKind::NotAuditedInSecure));
            }
            if !projected.audited {
                differences.push(of_secure(state, DifferenceKind::NotAuditedInCore));
            }
        }
        (None, None) => {}
    }
}

fn of_secure(state: &CertificateState, kind: DifferenceKind) -> Difference {
    Difference {
        certificate_id: state.record.certificate_id,
        organization_id: state.record.organization_id,
        kind,
    }
}

/// The columns that both sides hold, as text.
fn fields(state: &CertificateState, core: &ProjectedState) -> [(&'static str, String, String); 12] {
    let record = &state.record;
    let issuer = record
        .issuer_id
        .map(|id| id.to_string())
        .unwrap_or_default();
    [
        (
            "organization_id",
            record.organization_id.to_string(),
            core.organization_id.to_string(),
        ),
        (
            "revision",
            record.revision.to_string(),
            core.revision.to_string(),
        ),
        ("status", record.status.to_string(), core.status.clone()),
        (
            "serial_number",
            record.serial_number.clone(),
            core.serial_number.clone(),
        ),
        (
            "fingerprint_sha256",
            hex::encode(&record.fingerprint_sha256),
            hex::encode(&core.fingerprint_sha256),
        ),
        (
            "spki_sha256",
            hex::encode(&record.spki_sha256),
            hex::encode(&core.spki_sha256),
        ),
        (
            "issuer_id",
            issuer,
            core.issuer_id.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("subject", record.subject.clone(), core.subject.clone()),
        (
            "subject_alternative_names",
            record.subject_alternative_names.join(", "),
            core.subject_alternative_names.join(", "),
        ),
        (
            "not_before",
            record.not_before.to_rfc3339(),
            core.not_before.to_rfc3339(),
        ),
        (
            "not_after",
            record.not_after.to_rfc3339(),
            core.not_after.to_rfc3339(),
        ),
        (
            "has_private_key",
            record.has_private_key.to_string(),
            core.has_private_key.to_string(),
        ),
    ]
}

/// The secure side, a page at a time.
#[derive(Default)]
struct SecureSide {
    page: VecDeque<CertificateState>,
    after: Option<CertificateId>,
    ended: bool,
}

impl SecureSide {
    async fn fill(&mut self, core: &Core) -> Result<()> {
        if self.ended || !self.page.is_empty() {
            return Ok(());
        }
        let context = OpContext::system(core, SYSTEM_ORGANIZATION);
        let command = ListCertificateStates {
            after: self.after,
            limit: PAGE_SIZE_MAX,
        };
        self.page = core
            .secure
            .list_certificate_states(context.call(), command)
            .await?
            .into();
        self.after = self.page.back().map(|state| state.record.certificate_id);
        self.ended = self.page.is_empty();
        Ok(())
    }
}

/// The core side, a page at a time.
#[derive(Default)]
struct CoreSide {
    page: VecDeque<ProjectedState>,
    after: Option<CertificateId>,
    ended: bool,
}

impl CoreSide {
    async fn fill(&mut self, core: &Core) -> Result<()> {
        if self.ended || !self.page.is_empty() {
            return Ok(());
        }
        let scope = Scope::System("the reconciler compares certificates of every organization");
        let mut transaction = core.pool.begin(scope).await?;
        let after = self.after.map(CertificateId::as_uuid);
        let rows =
            certificate_metadata::list_states(&mut transaction, after, i64::from(PAGE_SIZE_MAX))
                .await
                .map_err(|error| core.pool.statement_error(error))?;
        self.page = rows.into();
        self.after = self.page.back().map(|state| state.certificate_id);
        self.ended = self.page.is_empty();
        Ok(())
    }
}
