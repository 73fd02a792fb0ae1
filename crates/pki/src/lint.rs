//! Lints of to-be-signed certificates: each checks one rule of one standard on the finished bytes.
//!
//! They read what will be signed, not the plan, so that a fault of the encoder is found as well.
//! A lint never changes anything and never looks outside the certificate and [`LintContext`].
//! Errors stop issuance, warnings do not. Start with [`lint_tbs`]; each file below this folder
//! holds the lints of one part of a certificate, and [`all`] lists them.

mod alternative_names;
mod certificate_authority;
mod criticality;
mod distinguished_names;
mod encoding;
mod key_identifiers;
mod key_usage;
mod pointers;
mod policies;
mod public_key;
mod serial;
mod validity;

use std::fmt;

use crate::tbs_view::TbsView;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A standard advises against it.
    Warning,
    /// A standard forbids it; such a certificate is never signed.
    Error,
}

/// One way in which a certificate departs from a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the lint, such as `e_rfc5280_serial_positive`.
    pub lint: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The clause.
    pub citation: &'static str,
    /// What is wrong, for a person to read.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.message, self.citation, self.lint)
    }
}

/// What lints know beside the to-be-signed certificate. What is `None` is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct LintContext<'a> {
    /// The subject key identifier of the issuer's certificate.
    pub issuer_subject_key_identifier: Option<&'a [u8]>,
    /// DER of the `AlgorithmIdentifier` that will stand beside the signature.
    pub outer_signature_algorithm: Option<&'a [u8]>,
}

/// A rule.
#[derive(Clone, Copy)]
pub struct Lint {
    /// `e_` or `w_` for its severity, the standard, the rule.
    pub name: &'static str,
    /// The clause.
    pub citation: &'static str,
    /// One message for each violation.
    check: fn(&Candidate<'_>) -> Vec<String>,
}

impl Lint {
    /// How much a finding of this lint weighs: names of errors begin with `e_`.
    pub fn severity(&self) -> Severity {
        if self.name.starts_with("e_") {
            Severity::Error
        } else {
            Severity::Warning
        }
    }
}

impl fmt::Debug for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lint({}, {})", self.name, self.citation)
    }
}

/// What a lint looks at.
struct Candidate<'a> {
    tbs: TbsView<'a>,
    context: LintContext<'a>,
}

/// The lints by part of the certificate.
const GROUPS: [&[Lint]; 12] = [
    encoding::LINTS,
    serial::LINTS,
    validity::LINTS,
    distinguished_names::LINTS,
    public_key::LINTS,
    criticality::LINTS,
    certificate_authority::LINTS,
    key_usage::LINTS,
    key_identifiers::LINTS,
    alternative_names::LINTS,
    policies::LINTS,
    pointers::LINTS,
];

/// The finding for bytes that are no `TBSCertificate`, on which no lint can look.
const UNREADABLE: (&str, &str) = ("e_rfc5280_tbs_certificate", "RFC 5280 §4.1");

/// Every lint.
pub fn all() -> impl Iterator<Item = &'static Lint> {
    GROUPS.into_iter().flatten()
}

/// What is wrong with the to-be-signed certificate `tbs_der`; empty when nothing is.
pub fn lint_tbs(tbs_der: &[u8], context: &LintContext<'_>) -> Vec<Finding> {
    let tbs = match TbsView::parse(tbs_der) {
        Ok(tbs) => tbs,
        Err(error) => {
            return vec![Finding {
                lint: UNREADABLE.0,
                severity: Severity::Error,
                citation: UNREADABLE.1,
                message: format!("The to-be-signed certificate {error}."),
            }];
        }
    };
    let candidate = Candidate {
        tbs,
        context: *context,
    };
    all()
        .flat_map(|lint| {
            (lint.check)(&candidate).into_iter().map(|message| Finding {
                lint: lint.name,
                severity: lint.severity(),
                citation: lint.citation,
                message,
            })
        })
        .collect()
}

/// No message when `holds`, else one.
fn require(holds: bool, message: impl FnOnce() -> String) -> Vec<String> {
    if holds { Vec::new() } else { vec![message()] }
}

#[cfg(test)]
mod tests;
