//! What every implementation of [`MasterKeyProvider`] must do, run against each of them.

use clm_domain::ids::EncryptionKeyId;
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind as Kind;
use uuid::Uuid;

use super::shares::{ShareSet, combine, split};
use super::*;

/// Counts, so that nothing repeats within a test.
pub(crate) struct CountingRng(std::sync::atomic::AtomicU64);

impl CountingRng {
    pub(crate) const fn new(start: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(start))
    }
}

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let bytes = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}

/// The suite. `open` opens the provider's key, each time anew, and `other` one with another key.
fn conforms(
    name: &str,
    open: &dyn Fn() -> Box<dyn MasterKeyProvider>,
    other: &dyn Fn() -> Box<dyn MasterKeyProvider>,
) {
    let rng = CountingRng::new(1 << 40);
    let provider = open();
    assert_eq!(provider.name(), name, "the stored name");
    assert_eq!(provider.name().parse::<Kind>().map(Kind::as_str), Ok(name));
    assert_eq!(
        provider.check_value(),
        open().check_value(),
        "{name}: stable"
    );
    assert_ne!(provider.check_value(), other().check_value(), "{name}");

    for length in [0_usize, 1, 32, 4_000] {
        let data_key = SecretBytes::new(vec![7; length]);
        let wrapped = provider.wrap(&data_key, b"this row", &rng).unwrap();
        assert_eq!(wrapped.ciphertext.len(), length);
        let again = provider.wrap(&data_key, b"this row", &rng).unwrap();
        assert_ne!(wrapped.nonce, again.nonce, "{name}: no nonce comes twice");
        let opened = open().unwrap(&wrapped, b"this row").unwrap();
        assert_eq!(opened.expose(), data_key.expose(), "{name}: {length} bytes");

        let refused = |provider: &dyn MasterKeyProvider, wrapped: &Sealed, place: &[u8]| {
            let refused = provider.unwrap(wrapped, place).map(|_| ());
            assert_eq!(refused, Err(MasterKeyError::Refused), "{name}: {length}");
        };
        refused(provider.as_ref(), &wrapped, b"another row");
        refused(provider.as_ref(), &wrapped, b"");
        refused(other().as_ref(), &wrapped, b"this row");
        for bit in 0..8 {
            for position in 0..wrapped.nonce.len() {
                let mut changed = wrapped.clone();
                changed.nonce[position] ^= 1 << bit;
                refused(provider.as_ref(), &changed, b"this row");
            }
            for position in 0..wrapped.tag.len() {
                let mut changed = wrapped.clone();
                changed.tag[position] ^= 1 << bit;
                refused(provider.as_ref(), &changed, b"this row");
            }
            for position in (0..length).step_by(1 + length / 40) {
                let mut changed = wrapped.clone();
                changed.ciphertext[position] ^= 1 << bit;
                refused(provider.as_ref(), &changed, b"this row");
            }
        }
        let mut cut = wrapped.clone();
        if cut.ciphertext.pop().is_some() {
            refused(provider.as_ref(), &cut, b"this row");
        }
    }
    let error = provider.unwrap(
        &Sealed {
            ciphertext: vec![0; 32],
            nonce: [0; 12],
            tag: [0; 16],
        },
        b"",
    );
    let said = error.err().map(|error| format!("{error} {error:?}"));
    let said = said.unwrap();
    assert!(
        !said.contains(&hex::encode(provider.check_value())),
        "{said}"
    );
}

#[test]
fn a_key_in_a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let sources = |name: &str| MasterKeySources::file(folder.path().join(name));
    let open = |name: &'static str, start| -> Box<dyn MasterKeyProvider> {
        Box::new(sources(name).first(&CountingRng::new(start)).unwrap())
    };
    conforms("file", &|| open("one", 1), &|| open("two", 100));
}

#[test]
fn a_key_in_the_environment_conforms() {
    let sources = |digit: &str| MasterKeySources {
        environment: [Some(SecretString::new(digit.repeat(64))), None],
        first: Some(Kind::Environment),
        ..MasterKeySources::file("/nonexistent".into())
    };
    let open = |digit: &str| -> Box<dyn MasterKeyProvider> {
        Box::new(sources(digit).first(&CountingRng::new(1)).unwrap())
    };
    conforms("environment", &|| open("a"), &|| open("b"));
}

#[test]
fn a_key_in_a_credential_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, digit: &str| -> Box<dyn MasterKeyProvider> {
        let directory = folder.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("clm-master-key"), digit.repeat(64)).unwrap();
        let sources = MasterKeySources {
            credentials_directory: Some(directory),
            first: Some(Kind::Credential),
            ..MasterKeySources::file("/nonexistent".into())
        };
        Box::new(sources.first(&CountingRng::new(1)).unwrap())
    };
    conforms("credential", &|| open("one", "a"), &|| open("two", "b"));
}

#[test]
fn a_split_key_conforms() {
    let open = |start, used: &[usize]| -> Box<dyn MasterKeyProvider> {
        let rng = CountingRng::new(start);
        let key = SoftwareMasterKey::generate(Kind::Shamir, &rng);
        let set = ShareSet {
            encryption_key_id: EncryptionKeyId::from_uuid(Uuid::from_u128(1)),
            set_id: Uuid::from_u128(2),
            threshold: 3,
            count: 5,
        };
        let shares = split(&key, set, &rng).unwrap();
        Box::new(combine(used.iter().map(|index| &shares[*index])).unwrap())
    };
    conforms("shamir", &|| open(1, &[0, 2, 4]), &|| open(100, &[0, 2, 4]));
    let (one, other) = (open(1, &[0, 1, 2]), open(1, &[4, 3, 1]));
    assert_eq!(one.check_value(), other.check_value(), "any three give it");
}

#[test]
fn a_sealed_key_says_so_and_nothing_else() {
    let key = SoftwareMasterKey::generate(Kind::Shamir, &CountingRng::new(1));
    let sealed = SealedMasterKey::new(key.check_value());
    assert_eq!(sealed.name(), "shamir");
    assert_eq!(sealed.check_value(), key.check_value());
    let secret = SecretBytes::new(vec![7; 32]);
    let wrapped = key.wrap(&secret, b"row", &CountingRng::new(9)).unwrap();
    let unwrapped = sealed.unwrap(&wrapped, b"row").map(|_| ());
    assert_eq!(unwrapped, Err(MasterKeyError::Sealed));
    let again = sealed.wrap(&secret, b"row", &CountingRng::new(9));
    assert_eq!(again, Err(MasterKeyError::Sealed));
}
