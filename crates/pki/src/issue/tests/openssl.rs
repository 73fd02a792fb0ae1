//! OpenSSL as judge of whole chains.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::pem;
use crate::plan_fixture::POLICY;

/// A chain of three keys of one algorithm, each level signed with `signature`.
fn chain(algorithm: KeyAlgorithm, signature: SignatureAlgorithm) -> [Vec<u8>; 3] {
    let keys = [(); 2].map(|()| PrivateKey::generate(algorithm).unwrap());
    let mut root = root_plan();
    let mut issuing = issuing_plan();
    for (plan, key) in [&mut root, &mut issuing].into_iter().zip(&keys) {
        plan.subject_public_key_info = key.subject_public_key_info().to_vec();
        plan.key_algorithm = algorithm;
    }
    // The leaf asserts the policy as the issuing CA has mapped it.
    let mut leaf = leaf_plan();
    leaf.certificate_policies[0].policy_id = "1.3.6.1.4.1.99999.2".parse().unwrap();
    let der = |plan: &CertificatePlan, issuer: &CertificatePlan, key: &PrivateKey| {
        let identity = IssuerIdentity::self_signed(issuer, signature).unwrap();
        issue(prepare(plan, &identity, serial(1)).unwrap(), key)
            .unwrap()
            .der
    };
    [
        der(&root, &root, &keys[0]),
        der(&issuing, &root, &keys[0]),
        der(&leaf, &issuing, &keys[1]),
    ]
}

/// What `openssl verify -x509_strict` prints.
fn verify(folder: &Path, chain: &[Vec<u8>; 3]) -> String {
    let names = ["root.pem", "issuing.pem", "leaf.pem"];
    for (name, der) in names.iter().zip(chain) {
        std::fs::write(folder.join(name), pem::encode("CERTIFICATE", der)).unwrap();
    }
    let arguments = "verify -x509_strict -attime 1796083200 -policy_check -CAfile root.pem \
                     -untrusted issuing.pem -policy";
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .args([POLICY, "leaf.pem"])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn openssl_verifies_every_signature_algorithm_strictly() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in [
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
    ] {
        for signature in SignatureAlgorithm::ALL {
            if signature.fits(algorithm) {
                let said = verify(folder.path(), &chain(algorithm, signature));
                assert_eq!(said, "leaf.pem: OK\n", "{algorithm} {signature}");
            }
        }
    }
}
