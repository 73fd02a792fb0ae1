//! Names of X.509 subjects as plain data: RFC 5280 §4.2.1.6 `GeneralName`.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::oid::Oid;

/// One `GeneralName` (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "value")]
pub enum GeneralName {
    /// `dNSName`, in A-label form.
    Dns(String),
    /// `iPAddress`.
    Ip(IpAddr),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `rfc822Name`.
    Email(String),
    /// `directoryName`: a DER `Name`, kept as it came.
    DirectoryName(#[serde(with = "serde_bytes")] Vec<u8>),
    /// `otherName`: type and the DER of the value inside its explicit tag, kept as it came.
    OtherName {
        /// The type of the name.
        type_id: Oid,
        /// DER of the value.
        #[serde(with = "serde_bytes")]
        value_der: Vec<u8>,
    },
    /// `registeredID`.
    RegisteredId(Oid),
}

impl GeneralName {
    /// The word for the form, as in RFC 5280.
    pub const fn form(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dNSName",
            Self::Ip(_) => "iPAddress",
            Self::Uri(_) => "uniformResourceIdentifier",
            Self::Email(_) => "rfc822Name",
            Self::DirectoryName(_) => "directoryName",
            Self::OtherName { .. } => "otherName",
            Self::RegisteredId(_) => "registeredID",
        }
    }
}

impl fmt::Display for GeneralName {
    /// The `form:value` text that lists and search use; binary values in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(address) => write!(f, "email:{address}"),
            Self::DirectoryName(der) => write!(f, "dirName:{}", hex::encode(der)),
            Self::OtherName { type_id, value_der } => {
                write!(f, "otherName:{type_id};{}", hex::encode(value_der))
            }
            Self::RegisteredId(oid) => write!(f, "RID:{oid}"),
        }
    }
}
