//! The extensions of RFC 5280 §4.2 and the two of RFC 7633 and RFC 6960, read from their values.

use clm_domain::certificate_plan::KeyUsage;
use const_oid::db::rfc5280 as oids;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;

use super::ExtensionView;
use crate::asn1::{DerError, Element, Reader, boolean, single, small_unsigned, tag};
use crate::extension::ID_PE_TLS_FEATURE;
use crate::extension_value::key_usage;

/// The known extensions; `None` for one that is absent or malformed.
#[derive(Debug, Default)]
pub(crate) struct Extensions<'a> {
    /// RFC 5280 §4.2.1.1.
    pub(crate) authority_key_identifier: Option<AuthorityKeyIdentifierView<'a>>,
    /// RFC 5280 §4.2.1.2.
    pub(crate) subject_key_identifier: Option<&'a [u8]>,
    /// RFC 5280 §4.2.1.3.
    pub(crate) key_usage: Option<KeyUsage>,
    /// RFC 5280 §4.2.1.4.
    pub(crate) certificate_policies: Option<Vec<PolicyInformationView<'a>>>,
    /// RFC 5280 §4.2.1.5: content octets of both object identifiers of each mapping.
    pub(crate) policy_mappings: Option<Vec<(&'a [u8], &'a [u8])>>,
    /// RFC 5280 §4.2.1.6: `GeneralName`s.
    pub(crate) subject_alternative_names: Option<Vec<Element<'a>>>,
    /// RFC 5280 §4.2.1.7: `GeneralName`s.
    pub(crate) issuer_alternative_names: Option<Vec<Element<'a>>>,
    /// RFC 5280 §4.2.1.9.
    pub(crate) basic_constraints: Option<BasicConstraintsView>,
    /// RFC 5280 §4.2.1.10.
    pub(crate) name_constraints: Option<NameConstraintsView<'a>>,
    /// RFC 5280 §4.2.1.11: `requireExplicitPolicy` and `inhibitPolicyMapping`.
    pub(crate) policy_constraints: Option<(Option<u32>, Option<u32>)>,
    /// RFC 5280 §4.2.1.12: content octets of the object identifiers.
    pub(crate) extended_key_usage: Option<Vec<&'a [u8]>>,
    /// RFC 5280 §4.2.1.13.
    pub(crate) crl_distribution_points: Option<Vec<DistributionPointView<'a>>>,
    /// RFC 5280 §4.2.1.14.
    pub(crate) inhibit_any_policy: Option<u32>,
    /// RFC 5280 §4.2.1.15.
    pub(crate) freshest_crl: Option<Vec<DistributionPointView<'a>>>,
    /// RFC 5280 §4.2.2.1.
    pub(crate) authority_information_access: Option<Vec<AccessDescriptionView<'a>>>,
    /// RFC 5280 §4.2.2.2.
    pub(crate) subject_information_access: Option<Vec<AccessDescriptionView<'a>>>,
    /// RFC 7633 §4.1.
    pub(crate) tls_features: Option<Vec<u32>>,
    /// RFC 6960 §4.2.2.2.1.
    pub(crate) ocsp_no_check: Option<()>,
}

/// `BasicConstraints`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BasicConstraintsView {
    /// `cA`.
    pub(crate) certificate_authority: bool,
    /// Whether `cA` is encoded although it is false, its default.
    pub(crate) encodes_default: bool,
    /// `pathLenConstraint`.
    pub(crate) path_length_max: Option<u32>,
}

/// `AuthorityKeyIdentifier`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthorityKeyIdentifierView<'a> {
    /// `keyIdentifier`.
    pub(crate) key_identifier: Option<&'a [u8]>,
    /// Whether `authorityCertIssuer` is there.
    pub(crate) has_issuer: bool,
    /// Whether `authorityCertSerialNumber` is there.
    pub(crate) has_serial: bool,
}

/// `PolicyInformation`.
#[derive(Clone, Debug)]
pub(crate) struct PolicyInformationView<'a> {
    /// Content octets of `policyIdentifier`.
    pub(crate) oid: &'a [u8],
    /// `policyQualifiers`: content octets of the type, and the value.
    pub(crate) qualifiers: Vec<(&'a [u8], Element<'a>)>,
    /// Whether `policyQualifiers` is there and empty.
    pub(crate) has_empty_qualifiers: bool,
}

/// `NameConstraints`.
#[derive(Clone, Debug)]
pub(crate) struct NameConstraintsView<'a> {
    /// Bases of `permittedSubtrees`.
    pub(crate) permitted: Vec<Element<'a>>,
    /// Bases of `excludedSubtrees`.
    pub(crate) excluded: Vec<Element<'a>>,
    /// Whether a subtree has `minimum` or `maximum`.
    pub(crate) has_distances: bool,
}

/// `DistributionPoint`.
#[derive(Clone, Debug)]
pub(crate) struct DistributionPointView<'a> {
    /// `fullName`: `GeneralName`s.
    pub(crate) full_name: Vec<Element<'a>>,
    /// Whether `distributionPoint` or `cRLIssuer` is there.
    pub(crate) is_located: bool,
}

/// `AccessDescription`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessDescriptionView<'a> {
    /// `accessLocation`, a `GeneralName`.
    pub(crate) location: Element<'a>,
}

impl<'a> Extensions<'a> {
    /// Reads the known ones among `extensions`; the rest of the result lists those that are known
    /// and malformed.
    pub(super) fn read(extensions: &[ExtensionView<'a>]) -> (Self, Vec<(&'a [u8], DerError)>) {
        let mut known = Self::default();
        let mut malformed = Vec::new();
        for (index, extension) in extensions.iter().enumerate() {
            let mut earlier = extensions.iter().take(index);
            if earlier.any(|other| other.oid == extension.oid) {
                continue;
            }
            if let Err(error) = known.read_one(extension.oid, extension.value) {
                malformed.push((extension.oid, error));
            }
        }
        (known, malformed)
    }

    fn read_one(&mut self, oid: &[u8], value: &'a [u8]) -> Result<(), DerError> {
        let is = |known: const_oid::ObjectIdentifier| known.as_bytes() == oid;
        if is(oids::ID_CE_AUTHORITY_KEY_IDENTIFIER) {
            self.authority_key_identifier = Some(authority_key_identifier(value)?);
        } else if is(oids::ID_CE_SUBJECT_KEY_IDENTIFIER) {
            self.subject_key_identifier = Some(single(value, tag::OCTET_STRING)?.value);
        } else if is(oids::ID_CE_KEY_USAGE) {
            self.key_usage = Some(key_usage(value)?);
        } else if is(oids::ID_CE_BASIC_CONSTRAINTS) {
            self.basic_constraints = Some(basic_constraints(value)?);
        } else if is(oids::ID_CE_EXT_KEY_USAGE) {
            self.extended_key_usage = Some(object_identifiers(value)?);
        } else if is(oids::ID_CE_SUBJECT_ALT_NAME) {
            self.subject_alternative_names = Some(elements(value)?);
        } else if is(oids::ID_CE_ISSUER_ALT_NAME) {
            self.issuer_alternative_names = Some(elements(value)?);
        } else if is(oids::ID_CE_CERTIFICATE_POLICIES) {
            self.certificate_policies = Some(list(value, policy_information)?);
        } else if is(oids::ID_CE_POLICY_MAPPINGS) {
            self.policy_mappings = Some(list(value, policy_mapping)?);
        } else if is(oids::ID_CE_NAME_CONSTRAINTS) {
            self.name_constraints = Some(name_constraints(value)?);
        } else if is(oids::ID_CE_POLICY_CONSTRAINTS) {
            self.policy_constraints = Some(policy_constraints(value)?);
        } else if is(oids::ID_CE_INHIBIT_ANY_POLICY) {
            self.inhibit_any_policy = Some(small_unsigned(&single(value, tag::INTEGER)?)?);
        } else if is(oids::ID_CE_CRL_DISTRIBUTION_POINTS) {
            self.crl_distribution_points = Some(list(value, distribution_point)?);
        } else if is(oids::ID_CE_FRESHEST_CRL) {
            self.freshest_crl = Some(list(value, distribution_point)?);
        } else if is(oids::ID_PE_AUTHORITY_INFO_ACCESS) {
            self.authority_information_access = Some(list(value, access_description)?);
        } else if is(oids::ID_PE_SUBJECT_INFO_ACCESS) {
            self.subject_information_access = Some(list(value, access_description)?);
        } else if is(ID_PE_TLS_FEATURE) {
            self.tls_features = Some(numbers(value)?);
        } else if is(ID_PKIX_OCSP_NOCHECK) {
            self.ocsp_no_check = Some(null(value)?);
        }
        Ok(())
    }
}

/// The elements of the `SEQUENCE` that `value` is.
fn elements(value: &[u8]) -> Result<Vec<Element<'_>>, DerError> {
    rest(&mut single(value, tag::SEQUENCE)?.reader())
}

fn rest<'a>(reader: &mut Reader<'a>) -> Result<Vec<Element<'a>>, DerError> {
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.any()?);
    }
    Ok(elements)
}

/// The `SEQUENCE OF SEQUENCE` that `value` is, each read by `read`, which must leave nothing.
fn list<'a, T>(
    value: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<T, DerError>,
) -> Result<Vec<T>, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let mut items = Vec::new();
    while !reader.is_finished() {
        let mut fields = reader.expect(tag::SEQUENCE)?.reader();
        items.push(read(&mut fields)?);
        fields.finish()?;
    }
    Ok(items)
}

fn object_identifiers(value: &[u8]) -> Result<Vec<&[u8]>, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let mut identifiers = Vec::new();
    while !reader.is_finished() {
        identifiers.push(reader.expect(tag::OBJECT_IDENTIFIER)?.value);
    }
    Ok(identifiers)
}

fn numbers(value: &[u8]) -> Result<Vec<u32>, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let mut numbers = Vec::new();
    while !reader.is_finished() {
        numbers.push(small_unsigned(&reader.expect(tag::INTEGER)?)?);
    }
    Ok(numbers)
}

fn null(value: &[u8]) -> Result<(), DerError> {
    match single(value, tag::NULL)?.value {
        [] => Ok(()),
        _ => Err(DerError("has a NULL that is not empty")),
    }
}

fn authority_key_identifier(value: &[u8]) -> Result<AuthorityKeyIdentifierView<'_>, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let key_identifier = reader.optional(tag::context(0))?;
    let issuer = reader.optional(tag::context_constructed(1))?;
    let serial = reader.optional(tag::context(2))?;
    reader.finish()?;
    Ok(AuthorityKeyIdentifierView {
        key_identifier: key_identifier.map(|element| element.value),
        has_issuer: issuer.is_some(),
        has_serial: serial.is_some(),
    })
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraintsView, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let authority = match reader.optional(tag::BOOLEAN)? {
        Some(element) => Some(boolean(&element)?),
        None => None,
    };
    let path_length_max = match reader.optional(tag::INTEGER)? {
        Some(element) => Some(small_unsigned(&element)?),
        None => None,
    };
    reader.finish()?;
    Ok(BasicConstraintsView {
        certificate_authority: authority.unwrap_or(false),
        encodes_default: authority == Some(false),
        path_length_max,
    })
}

fn policy_information<'a>(reader: &mut Reader<'a>) -> Result<PolicyInformationView<'a>, DerError> {
    let oid = reader.expect(tag::OBJECT_IDENTIFIER)?.value;
    let Some(sequence) = reader.optional(tag::SEQUENCE)? else {
        return Ok(PolicyInformationView {
            oid,
            qualifiers: Vec::new(),
            has_empty_qualifiers: false,
        });
    };
    let qualifiers = list(sequence.raw, |reader| {
        Ok((reader.expect(tag::OBJECT_IDENTIFIER)?.value, reader.any()?))
    })?;
    Ok(PolicyInformationView {
        oid,
        has_empty_qualifiers: qualifiers.is_empty(),
        qualifiers,
    })
}

fn policy_mapping<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DerError> {
    let issuer = reader.expect(tag::OBJECT_IDENTIFIER)?.value;
    Ok((issuer, reader.expect(tag::OBJECT_IDENTIFIER)?.value))
}

fn policy_constraints(value: &[u8]) -> Result<(Option<u32>, Option<u32>), DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let mut number = |tag_number| match reader.optional(tag::context(tag_number))? {
        Some(element) => small_unsigned(&element).map(Some),
        None => Ok(None),
    };
    let constraints = (number(0)?, number(1)?);
    reader.finish()?;
    Ok(constraints)
}

/// Reads `NameConstraints`.
pub(crate) fn name_constraints(value: &[u8]) -> Result<NameConstraintsView<'_>, DerError> {
    let mut reader = single(value, tag::SEQUENCE)?.reader();
    let mut has_distances = false;
    let mut subtrees = |number| {
        let Some(list) = reader.optional(tag::context_constructed(number))? else {
            return Ok(Vec::new());
        };
        let mut subtrees = list.reader();
        let mut bases = Vec::new();
        while !subtrees.is_finished() {
            let mut subtree = subtrees.expect(tag::SEQUENCE)?.reader();
            bases.push(subtree.any()?);
            has_distances |= !subtree.is_finished();
        }
        if bases.is_empty() {
            return Err(DerError("has an empty list of subtrees"));
        }
        Ok(bases)
    };
    let (permitted, excluded) = (subtrees(0)?, subtrees(1)?);
    reader.finish()?;
    Ok(NameConstraintsView {
        permitted,
        excluded,
        has_distances,
    })
}

fn distribution_point<'a>(reader: &mut Reader<'a>) -> Result<DistributionPointView<'a>, DerError> {
    let point = reader.optional(tag::context_constructed(0))?;
    reader.optional(tag::context(1))?;
    let crl_issuer = reader.optional(tag::context_constructed(2))?;
    let mut full_name = Vec::new();
    if let Some(point) = point {
        let mut names = point.reader();
        if let Some(full) = names.optional(tag::context_constructed(0))? {
            full_name = rest(&mut full.reader())?;
        } else {
            names.expect(tag::context_constructed(1))?;
        }
        names.finish()?;
    }
    Ok(DistributionPointView {
        full_name,
        is_located: point.is_some() || crl_issuer.is_some(),
    })
}

fn access_description<'a>(reader: &mut Reader<'a>) -> Result<AccessDescriptionView<'a>, DerError> {
    reader.expect(tag::OBJECT_IDENTIFIER)?;
    Ok(AccessDescriptionView {
        location: reader.any()?,
    })
}
