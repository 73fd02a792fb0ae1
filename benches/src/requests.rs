//! Certificate requests that are made before anything is measured. All subjects get the same ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_pki::csr::build_request;
use clm_pki::key::PrivateKey;
use clm_pki::name::NameBuilder;
use clm_pki::pem;

/// So many different requests; then they come again, each with a new idempotency key. Enough that no
/// cache of keys or names helps.
pub(crate) const REQUESTS: usize = 8_192;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Csr {
    /// Its common name and its only DNS name.
    pub(crate) host: String,
    /// DER of its subject.
    pub(crate) subject_der: Vec<u8>,
    /// DER of its `SubjectPublicKeyInfo`.
    pub(crate) spki_der: Vec<u8>,
    /// The whole request in DER.
    pub(crate) der: Vec<u8>,
}

impl Csr {
    /// The request in PEM.
    pub(crate) fn pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der)
    }
}

/// Makes `count` requests with a key and a name each.
///
/// # Errors
/// When the library refuses to.
pub(crate) fn make(count: usize) -> anyhow::Result<Arc<[Csr]>> {
    (0..count)
        .map(one)
        .collect::<anyhow::Result<Arc<[Csr]>>>()
        .context("making certificate requests")
}

fn one(index: usize) -> anyhow::Result<Csr> {
    let host = format!("host-{index:06}.bench.example");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let subject_der = NameBuilder::new().add("CN", &host)?.build();
    let names = [GeneralName::Dns(host.clone())];
    let der = build_request(&subject_der, &names, &key)?;
    Ok(Csr {
        host,
        subject_der,
        spki_der: key.subject_public_key_info().to_vec(),
        der,
    })
}

/// Things that are taken in turn by all clients together.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    things: Vec<T>,
    next: AtomicUsize,
}

impl<T> Turns<T> {
    /// Takes `things` in turn.
    pub(crate) const fn new(things: Vec<T>) -> Self {
        Self {
            things,
            next: AtomicUsize::new(0),
        }
    }

    /// The next thing, and a number that no other call got.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn next(&self) -> anyhow::Result<(usize, &T)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let index = number.checked_rem(self.things.len()).unwrap_or(0);
        let thing = self.things.get(index).context("there are no requests")?;
        Ok((number, thing))
    }
}
