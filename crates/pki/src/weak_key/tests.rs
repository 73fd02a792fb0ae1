//! Each kind of weak key, made on purpose.

use super::*;

const EXPONENT: [u8; 3] = [1, 0, 1];

/// Product of a 1024-bit prime and the first prime that is 2^500 above it.
const CLOSE: &str = "b58e64381104e066b5f18ade6a0339e35df32071bddd2af8f509e62e1f8bdfaa9624f1d74b1fa481ad606c9e111d6d31fda32fc1dc23055b53995800acd1dc558886ba7b991d37adaddaba020b8dbbc2571698c77220652ea3170a837c812cd08a441735b6e1fcbf4cf490422efe90cd410de4333baf4efcfa55e4005aba65fcf475c2d9717dbf9a808063f20ce470f34692aba7131ed71b9fb857c4c86b0b79c40e357fd90c9bbd354fd1e1010997be2eddfdb4b3234e72bf40c32539ed68014bdbcde00a9cb11300f1c3b8b2695350148457b0693bc9ae4884cf54a1f379fac84682240adbd043bdc7961e74f2b9e8a0e65dd4d715dca1b78339c0f903c0d7";
/// The same prime times one at a distance for which Fermat's method takes 60 rounds.
const CLOSE_AFTER_60_ROUNDS: &str = "b58e64381104e066b5f18ade6a0339e35df32071bddd2af8f509e62e1f8bdfaa9624f1d74b1fa481ad606c9e111d6d31fda32fc1dc23055b53995800acd1dc6676f91db8a608fb3238f7c624006e138d1c4fcfcf8ac56696c820f5621abf3ef41bffebd0507b9fa604edbb52f04fe578fe663d647d5ed5d1f89c7bb8248cb050a5dd4ecf0365c8c262bff3f57a5ae4b3c69be11fa20a2dc2c2b47c16164cc3dc27ad3bca61c91603acf962da51a247a49d0cffffa50dfd69e26ed801619d7978293460cb7c8e76e765d8aaa656892d6fa831faa7a1e339643aad100d2278927da19a4ba9dc9c6bb182e9f993cde7d418e478876db90a92d100b95a0f1e684af3";
/// The same prime times one for which it takes 199 rounds, more than are tried.
const CLOSE_AFTER_199_ROUNDS: &str = "b58e64381104e066b5f18ade6a0339e35df32071bddd2af8f509e62e1f8bdfaa9624f1d74b1fa481ad606c9e111d6d31fda32fc1dc23055b53995800acd1dc7472269783bd455268894e1214ecb4c9b00a8ab311c291c1b3d0d45e51cd3685fd8045d6dec973a32a37b485a7399682d4eb8e805332577f3d63141a6e24b4149c5b8fb5ec90149fc3d14d008fa642293edddb149e5b03806bab17263e4e29c02007f6844dad461fb9fa07a2973bf6a754b0327d9aaf4f09f5e0d8389068a191ccc90b9c7f10e9255b2f50e598ae77f5afcf94405e14559f6709ce84a97965b23c0468483f03dad053ec429c4c4e63c78c0d2ef4fd7680315e8c9023fe0bc41f11";

fn check_hex(modulus: &str) -> Result<KeyAlgorithm, WeakKey> {
    check_rsa(&hex::decode(modulus).unwrap(), &EXPONENT)
}

/// A modulus as the faulty generator makes it: each factor is `k * M + 65537^a mod M`, `M` the
/// product of the first 126 primes. That the factors are no primes plays no role for the test.
fn faulty_modulus() -> Vec<u8> {
    let product = SMALL_ODD_PRIMES
        .iter()
        .take(125)
        .fold(BigUint::from(2_u32), |product, prime| product * prime);
    let factor = |power: u32, filling: u32| {
        let residue = BigUint::from(ROCA_GENERATOR).modpow(&BigUint::from(power), &product);
        let target = BigUint::from(filling) << 1016_u32;
        (target / &product) * &product + residue
    };
    (factor(12_345, 0xd0) * factor(67_890, 0xe0)).to_bytes_be()
}

#[test]
fn sizes_are_exact() {
    for (bits, expected) in [
        (1024_usize, Err(WeakKey::ModulusTooShort { bits: 1024 })),
        (2047, Err(WeakKey::ModulusTooShort { bits: 2047 })),
        (2048, Ok(KeyAlgorithm::Rsa2048)),
        (2049, Err(WeakKey::ModulusLengthNotAccepted { bits: 2049 })),
        (3072, Ok(KeyAlgorithm::Rsa3072)),
        (4096, Ok(KeyAlgorithm::Rsa4096)),
        (8192, Err(WeakKey::ModulusLengthNotAccepted { bits: 8192 })),
    ] {
        let modulus = (BigUint::from(1_u32) << (bits - 1)).to_bytes_be();
        assert_eq!(algorithm_of(&modulus), expected);
    }
    assert_eq!(algorithm_of(&[]), Err(WeakKey::ModulusTooShort { bits: 0 }));
    assert_eq!(
        WeakKey::ModulusTooShort { bits: 1024 }.code(),
        "key_too_weak"
    );
    let long = WeakKey::ModulusLengthNotAccepted { bits: 8192 };
    assert_eq!(long.code(), "key_algorithm_unsupported");
}

#[test]
fn exponents() {
    let mut below_2_256 = [0xff; 32];
    assert_eq!(check_exponent(&below_2_256), Ok(()));
    below_2_256[31] = 0xfe;
    assert_eq!(check_exponent(&below_2_256), Err(WeakKey::Exponent));
    for weak in [
        &[][..],
        &[0],
        &[1],
        &[3],
        &[17],
        &[0xff, 0xff],
        &[1, 0, 0],
        &[0xff; 33],
    ] {
        assert_eq!(check_exponent(weak), Err(WeakKey::Exponent), "{weak:02x?}");
    }
    for good in [
        &[1, 0, 1][..],
        &[1, 0, 3],
        &[0xff, 0xff, 0xff],
        &[1, 0, 0, 1],
    ] {
        assert_eq!(check_exponent(good), Ok(()), "{good:02x?}");
    }
}

#[test]
fn the_faulty_generator_is_recognized() {
    let modulus = faulty_modulus();
    assert_eq!(modulus.len(), 256);
    assert_eq!(
        check_rsa(&modulus, &EXPONENT),
        Err(WeakKey::FaultyGenerator)
    );
    assert_eq!(WeakKey::FaultyGenerator.code(), "key_too_weak");
    // A neighbour that keeps no residue is not mistaken for one.
    let other = (BigUint::from_bytes_be(&modulus) + 2_u32).to_bytes_be();
    assert_ne!(check_rsa(&other, &EXPONENT), Err(WeakKey::FaultyGenerator));
}

#[test]
fn close_factors_are_found() {
    assert_eq!(check_hex(CLOSE), Err(WeakKey::CloseFactors));
    assert_eq!(check_hex(CLOSE_AFTER_60_ROUNDS), Err(WeakKey::CloseFactors));
    assert_eq!(check_hex(CLOSE_AFTER_199_ROUNDS), Ok(KeyAlgorithm::Rsa2048));
}

#[test]
fn a_square_has_close_factors() {
    let factor = (BigUint::from(0xe0_u32) << 1016_u32) + 1_u32;
    let mut modulus = &factor * &factor;
    // Some neighbour has no small factor.
    let mut factor = factor;
    while check_residues(&modulus).is_err() {
        factor += 2_u32;
        modulus = &factor * &factor;
    }
    assert_eq!(
        check_rsa(&modulus.to_bytes_be(), &EXPONENT),
        Err(WeakKey::CloseFactors)
    );
}

#[test]
fn small_factors_are_found() {
    let odd = BigUint::from_bytes_be(&hex::decode(CLOSE_AFTER_199_ROUNDS).unwrap());
    for factor in [3_u32, 5, 251, 751] {
        let quotient = (&odd / factor) | BigUint::from(1_u32);
        let modulus = (quotient * factor).to_bytes_be();
        let found = check_rsa(&modulus, &EXPONENT);
        assert!(
            matches!(found, Err(WeakKey::SmallFactor { factor: f }) if f <= factor),
            "{factor}: {found:?}"
        );
    }
    let even = (odd - 1_u32).to_bytes_be();
    assert_eq!(
        check_rsa(&even, &EXPONENT),
        Err(WeakKey::SmallFactor { factor: 2 })
    );
}

#[test]
fn the_list_of_primes_ends_where_it_should() {
    assert_eq!(SMALL_ODD_PRIMES[..5], [3, 5, 7, 11, 13]);
    assert_eq!(SMALL_ODD_PRIMES.last(), Some(&751));
    assert!(SMALL_ODD_PRIMES.contains(&ROCA_PRIME_MAX));
}

#[test]
fn ed25519_points_of_small_order() {
    for mut key in ED25519_SMALL_ORDER {
        assert_eq!(check_ed25519(&key), Err(WeakKey::LowOrder));
        key[31] |= 0x80;
        assert_eq!(check_ed25519(&key), Err(WeakKey::LowOrder));
    }
    // The field prime itself, and the largest coordinate: not reduced.
    let mut key = [0xff; 32];
    assert_eq!(check_ed25519(&key), Err(WeakKey::LowOrder));
    key[0] = 0xed;
    key[31] = 0x7f;
    assert_eq!(check_ed25519(&key), Err(WeakKey::LowOrder));
    // The base point.
    let mut base = [0x66; 32];
    base[0] = 0x58;
    assert_eq!(check_ed25519(&base), Ok(()));
}
