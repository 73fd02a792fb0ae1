//! Public keys that give no security although they are well-formed.
//!
//! Looks at public values only. Knows nothing of DER: [`crate::key`] takes keys apart and asks
//! here. Lists of leaked keys are not part of this module; they are data, and are asked elsewhere.

use clm_domain::key_algorithm::KeyAlgorithm;
use num_bigint::BigUint;

/// Rounds of Fermat's method that a modulus must survive.
const FERMAT_ROUNDS: u32 = 100;
/// Largest prime by which a modulus must not be divisible: keys have no factor below 752.
const SMALL_PRIME_MAX: usize = 751;
/// Largest prime of the fingerprint test: the product of all primes up to it divides the constant
/// that the faulty generator used for every key size.
const ROCA_PRIME_MAX: u32 = 167;
/// The generator of the faulty keys' residues.
const ROCA_GENERATOR: u32 = 65_537;
/// Length of the longest accepted public exponent, in bytes (below 2^256).
const EXPONENT_BYTES_MAX: usize = 32;

/// What is weak about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// An RSA modulus below 2048 bits.
    #[error("an RSA key of {bits} bits is too short: use 2048, 3072 or 4096 bits")]
    ModulusTooShort {
        /// Length of the modulus.
        bits: usize,
    },
    /// An RSA modulus of a length that is not weak and not accepted.
    #[error("an RSA key of {bits} bits is not accepted: use 2048, 3072 or 4096 bits")]
    ModulusLengthNotAccepted {
        /// Length of the modulus.
        bits: usize,
    },
    /// An RSA modulus with a factor that anybody finds.
    #[error("the RSA modulus is divisible by {factor}")]
    SmallFactor {
        /// The factor.
        factor: u32,
    },
    /// An RSA key with the fingerprint of a faulty generator, CVE-2017-15361 (ROCA).
    #[error(
        "the RSA key comes from a faulty generator (ROCA, CVE-2017-15361): its private key can be \
         computed"
    )]
    FaultyGenerator,
    /// An RSA modulus whose two primes are so close that Fermat's method finds them.
    #[error("the two primes of the RSA key are too close to each other: anybody can find them")]
    CloseFactors,
    /// An RSA public exponent that is even, below 65537, or not below 2^256.
    #[error("the RSA public exponent must be odd, at least 65537 and below 2^256")]
    Exponent,
    /// An Ed25519 key of small order, or one that is not encoded canonically.
    #[error("the Ed25519 key has small order or is not canonical: signatures would prove nothing")]
    LowOrder,
}

impl WeakKey {
    /// The stable code of the error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ModulusLengthNotAccepted { .. } => "key_algorithm_unsupported",
            _ => "key_too_weak",
        }
    }
}

/// Judges an RSA key by its big-endian modulus and public exponent, without leading zero octets.
///
/// # Errors
/// The first [`WeakKey`] found.
pub fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<KeyAlgorithm, WeakKey> {
    let algorithm = algorithm_of(modulus)?;
    check_exponent(exponent)?;
    let modulus = BigUint::from_bytes_be(modulus);
    check_residues(&modulus)?;
    if has_close_factors(&modulus) {
        return Err(WeakKey::CloseFactors);
    }
    Ok(algorithm)
}

/// Judges an Ed25519 key: its order must not be small, and its coordinate must be reduced
/// (RFC 8032 §5.1.3).
///
/// # Errors
/// [`WeakKey::LowOrder`].
pub fn check_ed25519(key: &[u8; 32]) -> Result<(), WeakKey> {
    let mut coordinate = *key;
    if let Some(last) = coordinate.last_mut() {
        // The top bit is the sign of the other coordinate.
        *last &= 0x7f;
    }
    if ED25519_SMALL_ORDER.contains(&coordinate) || !is_below_field_prime(&coordinate) {
        return Err(WeakKey::LowOrder);
    }
    Ok(())
}

fn algorithm_of(modulus: &[u8]) -> Result<KeyAlgorithm, WeakKey> {
    let leading_zeros = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(leading_zeros).unwrap_or(0));
    match bits {
        2048 => Ok(KeyAlgorithm::Rsa2048),
        3072 => Ok(KeyAlgorithm::Rsa3072),
        4096 => Ok(KeyAlgorithm::Rsa4096),
        0..2048 => Err(WeakKey::ModulusTooShort { bits }),
        _ => Err(WeakKey::ModulusLengthNotAccepted { bits }),
    }
}

fn check_exponent(exponent: &[u8]) -> Result<(), WeakKey> {
    let is_odd = exponent.last().is_some_and(|last| last & 1 == 1);
    let is_large = match exponent {
        [high, _, _] => *high >= 1,
        _ => exponent.len() > 3,
    };
    // Odd and above 65535 is at least 65537.
    if is_odd && is_large && exponent.len() <= EXPONENT_BYTES_MAX {
        Ok(())
    } else {
        Err(WeakKey::Exponent)
    }
}

/// Looks for small factors and for the fingerprint of the faulty generator.
fn check_residues(modulus: &BigUint) -> Result<(), WeakKey> {
    if !modulus.bit(0) {
        return Err(WeakKey::SmallFactor { factor: 2 });
    }
    let mut has_fingerprint = true;
    // Three primes below 752 multiply to less than 2^32: one long division serves them all.
    for primes in SMALL_ODD_PRIMES.chunks(3) {
        let product: u32 = primes.iter().product();
        let residue = u32::try_from(modulus % product).unwrap_or(0);
        for &prime in primes {
            if residue.is_multiple_of(prime) {
                return Err(WeakKey::SmallFactor { factor: prime });
            }
            has_fingerprint = has_fingerprint
                && (prime > ROCA_PRIME_MAX || is_power_of_generator(residue % prime, prime));
        }
    }
    if has_fingerprint {
        return Err(WeakKey::FaultyGenerator);
    }
    Ok(())
}

/// Whether `residue` is a power of [`ROCA_GENERATOR`] modulo `prime`, as every residue of a faulty
/// key is.
fn is_power_of_generator(residue: u32, prime: u32) -> bool {
    let generator = ROCA_GENERATOR % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

/// Fermat's method: a modulus of two close primes is the difference of two squares, the larger of
/// which is found near the square root.
fn has_close_factors(modulus: &BigUint) -> bool {
    let floor = modulus.sqrt();
    let root = if &floor * &floor == *modulus {
        floor
    } else {
        floor + 1_u32
    };
    let sieve = SquareSieve::new(modulus, &root);
    (0..FERMAT_ROUNDS)
        .filter(|step| sieve.may_be_square(*step))
        .any(|step| is_square(&((&root + step).pow(2) - modulus)))
}

fn is_square(number: &BigUint) -> bool {
    let root = number.sqrt();
    &root * &root == *number
}

/// Tells cheaply for most steps of Fermat's method that the difference is no square, because it is
/// none modulo a small prime.
struct SquareSieve {
    /// Per prime: the prime, the root and the modulus modulo it.
    residues: Vec<(u32, u32, u32)>,
}

impl SquareSieve {
    const PRIMES: usize = 18;

    fn new(modulus: &BigUint, root: &BigUint) -> Self {
        let modulo = |number: &BigUint, prime: u32| u32::try_from(number % prime).unwrap_or(0);
        let residues = SMALL_ODD_PRIMES
            .iter()
            .take(Self::PRIMES)
            .map(|&prime| (prime, modulo(root, prime), modulo(modulus, prime)))
            .collect();
        Self { residues }
    }

    fn may_be_square(&self, step: u32) -> bool {
        self.residues.iter().all(|&(prime, root, modulus)| {
            let candidate = (root + step) % prime;
            let difference = (candidate * candidate + prime - modulus) % prime;
            (0..=prime / 2).any(|number| number * number % prime == difference)
        })
    }
}

const SMALL_ODD_PRIME_COUNT: usize = 132;
/// The primes from 3 to [`SMALL_PRIME_MAX`].
static SMALL_ODD_PRIMES: [u32; SMALL_ODD_PRIME_COUNT] = small_odd_primes();

#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where a wrong index is a compile error"
)]
const fn small_odd_primes() -> [u32; SMALL_ODD_PRIME_COUNT] {
    let mut primes = [0; SMALL_ODD_PRIME_COUNT];
    let mut count = 0;
    let mut candidate: u32 = 3;
    while candidate as usize <= SMALL_PRIME_MAX {
        let mut index = 0;
        while index < count && !candidate.is_multiple_of(primes[index]) {
            index += 1;
        }
        if index == count {
            primes[count] = candidate;
            count += 1;
        }
        candidate += 2;
    }
    assert!(count == SMALL_ODD_PRIME_COUNT);
    primes
}

/// The little-endian second coordinates of all points whose order divides 8.
const ED25519_SMALL_ORDER: [[u8; 32]; 5] = [
    // Order 4.
    [0; 32],
    // Order 1.
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    // Order 2.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // Order 8, twice.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether a little-endian coordinate is below 2^255 - 19.
fn is_below_field_prime(coordinate: &[u8; 32]) -> bool {
    match coordinate {
        [low, middle @ .., 0x7f] => *low < 0xed || middle.iter().any(|&octet| octet != 0xff),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
