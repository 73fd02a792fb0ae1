//! Name constraints.

use std::net::IpAddr;

use clm_domain::certificate_plan::{NameConstraints, NameSubtree};
use const_oid::db::rfc5280::ID_CE_NAME_CONSTRAINTS;

use super::{ExtensionError, URI_TAG, write_extension};
use crate::asn1::tag::{context, context_constructed};
use crate::der_writer::DerWriter;

/// Writes nameConstraints (RFC 5280 §4.2.1.10).
pub(super) fn write_name_constraints(
    writer: &mut DerWriter,
    constraints: &NameConstraints,
) -> Result<(), ExtensionError> {
    // RFC 5280 §4.2.1.10: must be critical.
    write_extension(writer, ID_CE_NAME_CONSTRAINTS, true, |writer| {
        writer.sequence(|writer| {
            write_subtrees(writer, (0, "permitted"), &constraints.permitted)?;
            write_subtrees(writer, (1, "excluded"), &constraints.excluded)
        })
    })
}

/// The subtrees under their tag number; nothing for none.
fn write_subtrees(
    writer: &mut DerWriter,
    (number, form): (u8, &str),
    subtrees: &[NameSubtree],
) -> Result<(), ExtensionError> {
    if subtrees.is_empty() {
        return Ok(());
    }
    writer.constructed(context_constructed(number), |writer| {
        for (index, subtree) in subtrees.iter().enumerate() {
            // RFC 5280 §4.2.1.10: minimum is always its default 0, maximum is absent.
            let written = writer.sequence(|writer| write_subtree_base(writer, subtree));
            written.ok_or_else(|| {
                ExtensionError::new(
                    format!("name_constraints.{form}[{index}]"),
                    "A network is written as its first address and a prefix length that fits",
                )
            })?;
        }
        Ok(())
    })
}

/// `None` when the subtree is no network.
fn write_subtree_base(writer: &mut DerWriter, subtree: &NameSubtree) -> Option<()> {
    match subtree {
        NameSubtree::Email(name) => writer.primitive(context(1), name.as_bytes()),
        NameSubtree::Dns(name) => writer.primitive(context(2), name.as_bytes()),
        // `Name` is a CHOICE, so its tag is explicit (X.680 §31.2.7).
        NameSubtree::DirectoryName(der) => {
            writer.constructed(context_constructed(4), |writer| writer.raw(der));
        }
        NameSubtree::Uri(name) => writer.primitive(URI_TAG, name.as_bytes()),
        NameSubtree::Ip(address, prefix) => {
            writer.primitive(context(7), &network_octets(*address, *prefix)?);
        }
    }
    Some(())
}

/// Address and mask of a network (RFC 5280 §4.2.1.10); `None` when the prefix is too long or the
/// address has bits behind it.
pub(super) fn network_octets(address: IpAddr, prefix: u8) -> Option<Vec<u8>> {
    let (octets, mask) = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32_u32.checked_sub(u32::from(prefix))?)
                .unwrap_or(0);
            (address.octets().to_vec(), mask.to_be_bytes().to_vec())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128_u32.checked_sub(u32::from(prefix))?)
                .unwrap_or(0);
            (address.octets().to_vec(), mask.to_be_bytes().to_vec())
        }
    };
    let exact = octets
        .iter()
        .zip(&mask)
        .all(|(octet, mask)| octet & !mask == 0);
    exact.then(|| [octets, mask].concat())
}
