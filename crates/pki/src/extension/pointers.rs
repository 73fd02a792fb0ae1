//! Where revocation data, issuers and repositories are.

use clm_domain::certificate_plan::CertificatePlan;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_AD_CA_ISSUERS, ID_AD_CA_REPOSITORY, ID_AD_OCSP, ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_FRESHEST_CRL, ID_PE_AUTHORITY_INFO_ACCESS, ID_PE_SUBJECT_INFO_ACCESS,
};

use super::{URI_TAG, write_extension};
use crate::asn1::tag::context_constructed;
use crate::der_writer::DerWriter;

/// Writes cRLDistributionPoints, freshestCRL, authorityInfoAccess and subjectInfoAccess.
pub(super) fn write_pointers(writer: &mut DerWriter, plan: &CertificatePlan) {
    write_distribution_point(
        writer,
        ID_CE_CRL_DISTRIBUTION_POINTS,
        &plan.crl_distribution_points,
    );
    write_distribution_point(writer, ID_CE_FRESHEST_CRL, &plan.freshest_crl);
    let authority = &plan.authority_information_access;
    write_access(
        writer,
        ID_PE_AUTHORITY_INFO_ACCESS,
        &[
            (ID_AD_OCSP, &authority.ocsp),
            (ID_AD_CA_ISSUERS, &authority.ca_issuers),
        ],
    );
    write_access(
        writer,
        ID_PE_SUBJECT_INFO_ACCESS,
        &[(ID_AD_CA_REPOSITORY, &plan.subject_information_access)],
    );
}

/// One `DistributionPoint` with all `uris` as its full name: each is another way to the same CRL
/// (RFC 5280 §4.2.1.13), and a CRL's own distribution point may then match any of them (§6.3.3 b).
fn write_distribution_point(writer: &mut DerWriter, oid: ObjectIdentifier, uris: &[String]) {
    if uris.is_empty() {
        return;
    }
    write_extension(writer, oid, false, |writer| {
        writer.sequence(|writer| writer.sequence(|writer| write_full_name(writer, uris)));
    });
}

/// `distributionPoint [0]` with `fullName [0]`.
fn write_full_name(writer: &mut DerWriter, uris: &[String]) {
    writer.constructed(context_constructed(0), |writer| {
        writer.constructed(context_constructed(0), |writer| {
            for uri in uris {
                writer.primitive(URI_TAG, uri.as_bytes());
            }
        });
    });
}

fn write_access(
    writer: &mut DerWriter,
    oid: ObjectIdentifier,
    methods: &[(ObjectIdentifier, &Vec<String>)],
) {
    if methods.iter().all(|(_, uris)| uris.is_empty()) {
        return;
    }
    // RFC 5280 §4.2.2: must not be critical.
    write_extension(writer, oid, false, |writer| {
        writer.sequence(|writer| {
            for (method, uri) in methods
                .iter()
                .flat_map(|(method, uris)| uris.iter().map(move |uri| (method, uri)))
            {
                writer.sequence(|writer| {
                    writer.known_object_identifier(*method);
                    writer.primitive(URI_TAG, uri.as_bytes());
                });
            }
        });
    });
}
