//! X.509 as pure functions: keys, names, requests, certificates; plan, build, lint, sign, verify.
//!
//! Nothing here performs IO, reads a clock, or holds a key longer than a call. What comes from
//! outside is judged strictly and kept byte for byte; it is never encoded again.
//! Reading starts with [`csr`] and [`certificate`], writing with [`issue`].

pub mod certificate;
pub mod csr;
pub mod extension;
pub mod general_name;
pub mod issue;
pub mod key;
pub mod lint;
pub mod name;
pub mod path;
pub mod pem;
pub mod pkcs8;
pub mod serial;
pub mod weak_key;

mod asn1;
mod der_writer;
mod extension_value;
mod tbs_view;

#[cfg(test)]
mod plan_fixture;
#[cfg(test)]
mod test_fixture;
