//! Certificate policies, their mappings and their limits.

use clm_domain::certificate_plan::{
    CertificatePlan, CertificatePolicy, PolicyConstraints, PolicyMapping,
};
use const_oid::db::rfc5280::{
    ID_CE_CERTIFICATE_POLICIES, ID_CE_INHIBIT_ANY_POLICY, ID_CE_POLICY_CONSTRAINTS,
    ID_CE_POLICY_MAPPINGS, ID_QT_CPS, ID_QT_UNOTICE,
};

use super::write_extension;
use crate::asn1::tag::{IA5_STRING, INTEGER, UTF8_STRING, context};
use crate::der_writer::DerWriter;

/// Writes certificatePolicies and policyMappings (RFC 5280 §4.2.1.4 and §4.2.1.5).
pub(super) fn write_policies(writer: &mut DerWriter, plan: &CertificatePlan) {
    if !plan.certificate_policies.is_empty() {
        write_extension(writer, ID_CE_CERTIFICATE_POLICIES, false, |writer| {
            writer.sequence(|writer| {
                for policy in &plan.certificate_policies {
                    write_policy_information(writer, policy);
                }
            });
        });
    }
    if !plan.policy_mappings.is_empty() {
        // RFC 5280 §4.2.1.5: should be critical.
        write_extension(writer, ID_CE_POLICY_MAPPINGS, true, |writer| {
            writer.sequence(|writer| write_policy_mappings(writer, &plan.policy_mappings));
        });
    }
}

fn write_policy_mappings(writer: &mut DerWriter, mappings: &[PolicyMapping]) {
    for mapping in mappings {
        writer.sequence(|writer| {
            writer.object_identifier(&mapping.issuer_domain_policy);
            writer.object_identifier(&mapping.subject_domain_policy);
        });
    }
}

fn write_policy_information(writer: &mut DerWriter, policy: &CertificatePolicy) {
    writer.sequence(|writer| {
        writer.object_identifier(&policy.policy_id);
        if !policy.cps_uris.is_empty() || policy.user_notice.is_some() {
            writer.sequence(|writer| write_qualifiers(writer, policy));
        }
    });
}

fn write_qualifiers(writer: &mut DerWriter, policy: &CertificatePolicy) {
    for uri in &policy.cps_uris {
        writer.sequence(|writer| {
            writer.known_object_identifier(ID_QT_CPS);
            writer.primitive(IA5_STRING, uri.as_bytes());
        });
    }
    if let Some(text) = &policy.user_notice {
        writer.sequence(|writer| {
            writer.known_object_identifier(ID_QT_UNOTICE);
            // RFC 5280 §4.2.1.4: conforming CAs should use UTF8String for explicitText.
            writer.sequence(|writer| writer.primitive(UTF8_STRING, text.as_bytes()));
        });
    }
}

/// Writes policyConstraints and inhibitAnyPolicy (RFC 5280 §4.2.1.11 and §4.2.1.14).
pub(super) fn write_policy_limits(writer: &mut DerWriter, plan: &CertificatePlan) {
    if let Some(constraints) = plan.policy_constraints {
        // RFC 5280 §4.2.1.11: must be critical.
        write_extension(writer, ID_CE_POLICY_CONSTRAINTS, true, |writer| {
            write_policy_constraints(writer, constraints);
        });
    }
    if let Some(skipped) = plan.inhibit_any_policy {
        // RFC 5280 §4.2.1.14: must be critical.
        write_extension(writer, ID_CE_INHIBIT_ANY_POLICY, true, |writer| {
            writer.unsigned(INTEGER, skipped);
        });
    }
}

fn write_policy_constraints(writer: &mut DerWriter, constraints: PolicyConstraints) {
    writer.sequence(|writer| {
        if let Some(skipped) = constraints.require_explicit_policy {
            writer.unsigned(context(0), skipped);
        }
        if let Some(skipped) = constraints.inhibit_policy_mapping {
            writer.unsigned(context(1), skipped);
        }
    });
}
