//! Turns what `pki` and the limits find wrong with a plan into faults for people.

use clm_domain::error::{ErrorKind, Fault, Violation};
use clm_pki::csr::CsrError;
use clm_pki::issue::PrepareError;
use clm_pki::lint::{Finding, Severity};
use clm_pki::name::DistinguishedName;

use crate::error::fault_with_code;

/// Most findings that a fault lists.
const FINDINGS_MAX: usize = 50;

/// A plan that goes beyond the limits of its issuer, or `Ok` when there is nothing to object to.
pub(crate) fn refuse_violations(
    issuer_name: &str,
    violations: Vec<Violation>,
) -> Result<(), Fault> {
    let Some(first) = violations.first() else {
        return Ok(());
    };
    let message = format!(
        "The certificate authority '{issuer_name}' may not sign this: {}{}",
        first.message,
        more(violations.len() - 1)
    );
    let mut fault = Fault::new(
        ErrorKind::PolicyViolation,
        "issuer_limits_exceeded",
        message,
    );
    fault.violations = violations;
    Err(fault)
}

/// A plan from which no certificate can be made.
pub(crate) fn prepare_fault(error: &PrepareError) -> Fault {
    let PrepareError::Lint(findings) = error else {
        let message = format!("No certificate can be made from this: {error}.");
        return fault_with_code(ErrorKind::PolicyViolation, error.code(), message)
            .with_violation(error.field(), error.to_string());
    };
    let errors = || {
        findings
            .iter()
            .filter(|one| one.severity == Severity::Error)
    };
    let first = errors()
        .next()
        .map_or_else(|| error.to_string(), ToString::to_string);
    let message = format!("The certificate was not signed, because it would break a rule: {first}");
    let mut fault = Fault::new(ErrorKind::PolicyViolation, "lint_failed", message);
    fault.violations = errors().take(FINDINGS_MAX).map(finding_violation).collect();
    fault
}

/// A certification request that is refused.
pub(crate) fn csr_fault(error: &CsrError) -> Fault {
    let message = format!("The certification request is refused: {error}.");
    fault_with_code(ErrorKind::Invalid, error.code(), message)
        .with_violation(error.field(), error.to_string())
}

/// Reads and judges a subject.
///
/// # Errors
/// `Invalid` about the field `subject`.
pub(crate) fn read_subject(der: &[u8]) -> Result<DistinguishedName, Fault> {
    let read = DistinguishedName::from_der(der).and_then(|name| name.check().map(|()| name));
    read.map_err(|error| {
        Fault::invalid(
            "subject_invalid",
            "subject",
            format!("The subject cannot be used: {error}."),
        )
    })
}

/// The first common name of a subject.
pub(crate) fn common_name(subject: &DistinguishedName) -> Option<String> {
    subject
        .common_names()
        .first()
        .map(|name| (*name).to_owned())
}

fn finding_violation(finding: &Finding) -> Violation {
    Violation {
        field: finding.lint.to_owned(),
        message: finding.to_string(),
    }
}

fn more(others: usize) -> String {
    if others == 0 {
        String::new()
    } else {
        format!(" ({others} more)")
    }
}
