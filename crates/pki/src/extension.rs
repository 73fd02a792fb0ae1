//! Extensions of certificates, written from a [`CertificatePlan`].
//!
//! Whether an extension is critical follows from the standards alone; a plan cannot choose it, but for
//! extensions that it brings as bytes. What a plan leaves empty is left out, nothing is added but
//! the two key identifiers, and no value is corrected: [`crate::lint`] judges the result. Start
//! with [`encode_all`], which also fixes the order.

mod name_constraints;
mod pointers;
mod policies;

use clm_domain::certificate_plan::{
    BasicConstraints, CertificatePlan, KeyUsage, PlannedExtension, extended_key_usage,
};
use clm_domain::general_name::GeneralName;
use clm_domain::oid::Oid;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_FRESHEST_CRL,
    ID_CE_INHIBIT_ANY_POLICY, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS,
    ID_CE_POLICY_CONSTRAINTS, ID_CE_POLICY_MAPPINGS, ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER, ID_PE_AUTHORITY_INFO_ACCESS, ID_PE_SUBJECT_INFO_ACCESS,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;

use crate::asn1::tag::{INTEGER, OCTET_STRING, context};
use crate::asn1::{check_single, encode_oid};
use crate::der_writer::DerWriter;
use crate::general_name::encode_general_names;
use crate::name;
use name_constraints::write_name_constraints;
use pointers::write_pointers;
use policies::{write_policies, write_policy_limits};

/// `id-pe-tlsfeature` (RFC 7633 §4.1).
pub const ID_PE_TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");

/// `uniformResourceIdentifier [6]` of `GeneralName`.
const URI_TAG: u8 = context(6);

/// The extensions that only the fields of a plan and the issuer decide, in the order in which
/// [`encode_all`] writes them.
const DECIDED_BY_FIELDS: [ObjectIdentifier; 18] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_ISSUER_ALT_NAME,
    ID_CE_CERTIFICATE_POLICIES,
    ID_CE_POLICY_MAPPINGS,
    ID_CE_NAME_CONSTRAINTS,
    ID_CE_POLICY_CONSTRAINTS,
    ID_CE_INHIBIT_ANY_POLICY,
    ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_FRESHEST_CRL,
    ID_PE_AUTHORITY_INFO_ACCESS,
    ID_PE_SUBJECT_INFO_ACCESS,
    ID_PE_TLS_FEATURE,
    ID_PKIX_OCSP_NOCHECK,
];

/// A field of the plan has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ExtensionError {
    /// The field of the plan, as a path such as `name_constraints.permitted[2]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ExtensionError {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Whether a plan decides the extension `oid` by a field, so that it must not come as bytes.
pub fn is_decided_by_field(oid: &Oid) -> bool {
    encode_oid(oid).is_ok_and(|content| {
        DECIDED_BY_FIELDS
            .iter()
            .any(|decided| decided.as_bytes() == content)
    })
}

/// DER of `Extensions` (RFC 5280 §4.1) for `plan`, in this order: basicConstraints, keyUsage,
/// extKeyUsage, subjectKeyIdentifier, authorityKeyIdentifier, subjectAltName, issuerAltName,
/// certificatePolicies, policyMappings, nameConstraints, policyConstraints, inhibitAnyPolicy,
/// cRLDistributionPoints, freshestCRL, authorityInfoAccess, subjectInfoAccess, TLS features,
/// OCSP nocheck, then `other_extensions` as the plan orders them.
///
/// The authority key identifier is written for self-signed certificates too: RFC 5280 §4.2.1.1
/// allows leaving it out there, yet with it every certificate of a chain reads alike.
///
/// # Errors
/// When a field has no encoding, such as an extension that comes twice.
pub fn encode_all(
    plan: &CertificatePlan,
    subject_key_identifier: &[u8],
    authority_key_identifier: &[u8],
) -> Result<Vec<u8>, ExtensionError> {
    let mut writer = DerWriter::with_capacity(1024);
    writer.sequence(|writer| {
        write_usage(writer, plan);
        write_key_identifiers(writer, subject_key_identifier, authority_key_identifier);
        write_names(writer, plan)?;
        write_policies(writer, plan);
        if let Some(constraints) = &plan.name_constraints {
            write_name_constraints(writer, constraints)?;
        }
        write_policy_limits(writer, plan);
        write_pointers(writer, plan);
        write_flags(writer, plan);
        write_others(writer, &plan.other_extensions)
    })?;
    Ok(writer.finish())
}

/// Writes one `Extension` (RFC 5280 §4.1); `critical` is left out when false, its default.
pub(crate) fn write_extension<R>(
    writer: &mut DerWriter,
    oid: ObjectIdentifier,
    critical: bool,
    value: impl FnOnce(&mut DerWriter) -> R,
) -> R {
    writer.sequence(|writer| {
        writer.known_object_identifier(oid);
        if critical {
            writer.boolean_true();
        }
        writer.constructed(OCTET_STRING, value)
    })
}

/// Writes the `AuthorityKeyIdentifier` extension with `keyIdentifier` only (RFC 5280 §4.2.1.1).
pub(crate) fn write_authority_key_identifier(writer: &mut DerWriter, key_identifier: &[u8]) {
    write_extension(writer, ID_CE_AUTHORITY_KEY_IDENTIFIER, false, |writer| {
        writer.sequence(|writer| writer.primitive(context(0), key_identifier));
    });
}

fn write_usage(writer: &mut DerWriter, plan: &CertificatePlan) {
    if let Some(constraints) = plan.basic_constraints {
        // RFC 5280 §4.2.1.9: critical in CA certificates; in others it may be, and we keep one form.
        write_extension(writer, ID_CE_BASIC_CONSTRAINTS, true, |writer| {
            write_basic_constraints(writer, constraints);
        });
    }
    if plan.key_usage != KeyUsage::default() {
        // RFC 5280 §4.2.1.3: at least one bit is set, and the extension should be critical.
        write_extension(writer, ID_CE_KEY_USAGE, true, |writer| {
            writer.named_bits(&key_usage_bits(plan.key_usage));
        });
    }
    if !plan.extended_key_usage.is_empty() {
        // RFC 5280 §4.2.1.12 leaves it open; RFC 3161 §2.3 demands it for time stamping.
        let critical = !plan.is_certificate_authority()
            && plan
                .extended_key_usage
                .iter()
                .any(|usage| usage.as_str() == extended_key_usage::TIME_STAMPING);
        write_extension(writer, ID_CE_EXT_KEY_USAGE, critical, |writer| {
            writer.sequence(|writer| {
                for usage in &plan.extended_key_usage {
                    writer.object_identifier(usage);
                }
            });
        });
    }
}

/// Writes the value of basicConstraints (RFC 5280 §4.2.1.9), for requests as for certificates.
pub(crate) fn write_basic_constraints(writer: &mut DerWriter, constraints: BasicConstraints) {
    writer.sequence(|writer| {
        if constraints.certificate_authority {
            writer.boolean_true();
        }
        if let Some(length) = constraints.path_length_max {
            writer.unsigned(INTEGER, u32::from(length));
        }
    });
}

/// The bits of RFC 5280 §4.2.1.3 in their order.
pub(crate) fn key_usage_bits(usage: KeyUsage) -> [bool; 9] {
    [
        usage.digital_signature,
        usage.content_commitment,
        usage.key_encipherment,
        usage.data_encipherment,
        usage.key_agreement,
        usage.key_cert_sign,
        usage.crl_sign,
        usage.encipher_only,
        usage.decipher_only,
    ]
}

fn write_key_identifiers(writer: &mut DerWriter, subject: &[u8], authority: &[u8]) {
    write_extension(writer, ID_CE_SUBJECT_KEY_IDENTIFIER, false, |writer| {
        writer.primitive(OCTET_STRING, subject);
    });
    write_authority_key_identifier(writer, authority);
}

fn write_names(writer: &mut DerWriter, plan: &CertificatePlan) -> Result<(), ExtensionError> {
    // RFC 5280 §4.2.1.6: critical exactly when the subject says nothing.
    let critical = name::is_empty(&plan.subject_der);
    write_general_names(
        writer,
        (ID_CE_SUBJECT_ALT_NAME, critical),
        "subject_alternative_names",
        &plan.subject_alternative_names,
    )?;
    write_general_names(
        writer,
        (ID_CE_ISSUER_ALT_NAME, false),
        "issuer_alternative_names",
        &plan.issuer_alternative_names,
    )
}

fn write_general_names(
    writer: &mut DerWriter,
    (oid, critical): (ObjectIdentifier, bool),
    field: &str,
    names: &[GeneralName],
) -> Result<(), ExtensionError> {
    if names.is_empty() {
        return Ok(());
    }
    let value = encode_general_names(names)
        .map_err(|error| ExtensionError::new(field, error.to_string()))?;
    write_extension(writer, oid, critical, |writer| writer.raw(&value));
    Ok(())
}

fn write_flags(writer: &mut DerWriter, plan: &CertificatePlan) {
    if !plan.tls_features.is_empty() {
        write_extension(writer, ID_PE_TLS_FEATURE, false, |writer| {
            writer.sequence(|writer| {
                for feature in &plan.tls_features {
                    writer.unsigned(INTEGER, u32::from(*feature));
                }
            });
        });
    }
    if plan.ocsp_no_check {
        // RFC 6960 §4.2.2.2.1: the value is NULL and the extension should not be critical.
        write_extension(writer, ID_PKIX_OCSP_NOCHECK, false, DerWriter::null);
    }
}

fn write_others(
    writer: &mut DerWriter,
    extensions: &[PlannedExtension],
) -> Result<(), ExtensionError> {
    for (index, extension) in extensions.iter().enumerate() {
        let field = || format!("other_extensions[{index}].oid");
        if is_decided_by_field(&extension.oid) {
            return Err(ExtensionError::new(
                field(),
                format!(
                    "{} has fields of its own in a plan: use those",
                    extension.oid
                ),
            ));
        }
        let mut earlier = extensions.iter().take(index);
        if earlier.any(|other| other.oid == extension.oid) {
            return Err(ExtensionError::new(
                field(),
                format!(
                    "{} comes twice (RFC 5280 §4.2 allows one instance)",
                    extension.oid
                ),
            ));
        }
        check_single(&extension.value_der).map_err(|error| {
            ExtensionError::new(
                format!("other_extensions[{index}].value_der"),
                format!("The value {error}; write exactly one DER element"),
            )
        })?;
        writer.sequence(|writer| {
            writer.object_identifier(&extension.oid);
            if extension.critical {
                writer.boolean_true();
            }
            writer.primitive(OCTET_STRING, &extension.value_der);
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
