//! What several modules share: raw REST calls, DER, and the rows behind the program.

pub(crate) mod der;
pub(crate) mod records;
pub(crate) mod rest;
