//! Against the `openssl` program: what it writes is read, what is written it reads.

#![cfg(test)]

use std::path::PathBuf;
use std::process::{Command, Output};

use clm_domain::clock::Rng;
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::SecretString;
use clm_pki::certificate::Certificate;
use clm_pki::csr::{CertificationRequest, CsrError, build_request};
use clm_pki::key::{PrivateKey, PublicKey};
use clm_pki::name::{DistinguishedName, from_rfc4514};
use clm_pki::{pem, pkcs8};

/// A directory in which `openssl` works.
struct Openssl {
    directory: tempfile::TempDir,
}

impl Openssl {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed, and returns what it prints.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &errors
    }

    /// Makes `key.pem` from the arguments of `genpkey`.
    fn generate(&self, arguments: &[&str]) {
        self.run(&[&["genpkey", "-out", "key.pem"], arguments].concat());
    }

    /// Makes a request with `key.pem` from further arguments of `req`.
    fn request(&self, arguments: &[&str]) -> Vec<u8> {
        let begin = ["req", "-new", "-key", "key.pem", "-out", "request.pem"];
        self.run(&[&begin, arguments].concat());
        self.read("request.pem")
    }

    /// Makes a request from the sections of a configuration file.
    fn request_from(&self, configuration: &str) -> Vec<u8> {
        self.write("request.cnf", configuration);
        self.request(&["-config", "request.cnf", "-utf8"])
    }
}

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

const GENERATE: [(KeyAlgorithm, &[&str]); 7] = [
    (
        KeyAlgorithm::Rsa2048,
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ),
    (
        KeyAlgorithm::Rsa3072,
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    ),
    (
        KeyAlgorithm::Rsa4096,
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    ),
    (KeyAlgorithm::EcdsaP256, &P256),
    (
        KeyAlgorithm::EcdsaP384,
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ),
    (
        KeyAlgorithm::EcdsaP521,
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    ),
    (KeyAlgorithm::Ed25519, &["-algorithm", "ED25519"]),
];

fn accept(request: &[u8]) -> CertificationRequest {
    let request = CertificationRequest::parse(request).unwrap();
    request.verify_proof_of_possession().unwrap();
    request
}

fn refuse(request: &[u8]) -> CsrError {
    CertificationRequest::parse(request).unwrap_err()
}

#[test]
fn requests_of_every_key_algorithm() {
    for (algorithm, arguments) in GENERATE {
        let openssl = Openssl::new();
        openssl.generate(arguments);
        let request = accept(&openssl.request(&["-subj", "/C=DE/O=Example/CN=web.example"]));
        assert_eq!(request.key_algorithm(), algorithm);
        let subject = DistinguishedName::from_der(request.subject_der()).unwrap();
        assert_eq!(subject.rfc4514(), "CN=web.example,O=Example,C=DE");
        // The same key, read as a private key.
        let contents = pem::decode_one(&openssl.read("key.pem"), &["PRIVATE KEY"]).unwrap();
        let key = PrivateKey::from_pkcs8_der(&contents).unwrap();
        assert_eq!(key.subject_public_key_info(), request.spki_der());
    }
}

#[test]
fn requests_with_every_hash() {
    for (_, arguments) in GENERATE
        .iter()
        .filter(|(algorithm, _)| *algorithm != KeyAlgorithm::Ed25519)
    {
        let openssl = Openssl::new();
        openssl.generate(arguments);
        for hash in ["-sha256", "-sha384", "-sha512"] {
            accept(&openssl.request(&["-subj", "/CN=a", hash]));
        }
        for hash in ["-sha1", "-md5", "-sha224", "-sha3-256"] {
            let arguments = ["req", "-new", "-key", "key.pem", "-subj", "/CN=a", hash];
            let request = openssl.output(&arguments);
            // There is no ECDSA with MD5 that openssl would write.
            if request.status.success() {
                let error = refuse(&request.stdout);
                assert_eq!(
                    error.code(),
                    "csr_signature_algorithm_unsupported",
                    "{hash}"
                );
            }
        }
    }
}

#[test]
fn requests_signed_with_pss() {
    let openssl = Openssl::new();
    openssl.generate(GENERATE[0].1);
    let request = |hash, salt| {
        let salt = format!("rsa_pss_saltlen:{salt}");
        openssl.request(&[
            "-subj",
            "/CN=a",
            hash,
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            &salt,
        ])
    };
    for (hash, algorithm) in [
        ("-sha256", SignatureAlgorithm::RsaPssSha256),
        ("-sha384", SignatureAlgorithm::RsaPssSha384),
        ("-sha512", SignatureAlgorithm::RsaPssSha512),
    ] {
        assert_eq!(
            accept(&request(hash, "digest")).signature_algorithm(),
            algorithm
        );
    }
    for refused in [
        request("-sha256", "20"),
        request("-sha1", "digest"),
        request("-sha256", "max"),
    ] {
        assert_eq!(
            refuse(&refused).code(),
            "csr_signature_algorithm_unsupported"
        );
    }
}

#[test]
fn keys_that_are_not_accepted() {
    let rsa = |bits| {
        vec![
            "-algorithm".to_owned(),
            "RSA".to_owned(),
            "-pkeyopt".to_owned(),
            format!("rsa_keygen_bits:{bits}"),
        ]
    };
    let text = |arguments: &[&str]| arguments.iter().map(|one| (*one).to_owned()).collect();
    let curve = |name| text(&["-algorithm", "EC", "-pkeyopt", name]);
    let explicit = [&P256[..], &["-pkeyopt", "ec_param_enc:explicit"]].concat();
    let exponent = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_pubexp:3"];
    let cases: Vec<(Vec<String>, &str)> = vec![
        (rsa(1024), "key_too_weak"),
        (rsa(2560), "key_algorithm_unsupported"),
        (text(&exponent), "key_too_weak"),
        (
            text(&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]),
            "key_algorithm_unsupported",
        ),
        (text(&["-algorithm", "ED448"]), "key_algorithm_unsupported"),
        (text(&explicit), "key_algorithm_unsupported"),
        (
            curve("ec_paramgen_curve:secp256k1"),
            "key_algorithm_unsupported",
        ),
        (
            curve("ec_paramgen_curve:brainpoolP256r1"),
            "key_algorithm_unsupported",
        ),
    ];
    for (arguments, code) in cases {
        let openssl = Openssl::new();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        openssl.generate(&arguments);
        let pss: &[&str] = if arguments.contains(&"RSA-PSS") {
            &["-sigopt", "rsa_pss_saltlen:digest", "-sha256"]
        } else {
            &[]
        };
        let error = refuse(&openssl.request(&[&["-subj", "/CN=a"], pss].concat()));
        assert_eq!(error.code(), code, "{arguments:?}: {error}");
        assert_eq!(error.field(), "public_key");
        let contents = pem::decode_one(&openssl.read("key.pem"), &["PRIVATE KEY"]).unwrap();
        assert_eq!(
            PrivateKey::from_pkcs8_der(&contents).unwrap_err().code(),
            code
        );
    }
}

#[test]
fn compressed_points_are_refused() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let arguments = [
        "ec",
        "-in",
        "key.pem",
        "-pubout",
        "-conv_form",
        "compressed",
        "-outform",
        "DER",
    ];
    openssl.run(&[&arguments[..], &["-out", "public.der"]].concat());
    let error = PublicKey::from_spki_der(&openssl.read("public.der")).unwrap_err();
    assert!(error.to_string().contains("uncompressed"), "{error}");
}

#[test]
fn requests_without_common_name_or_subject() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let request = accept(&openssl.request(&["-subj", "/O=Example"]));
    let subject = DistinguishedName::from_der(request.subject_der()).unwrap();
    assert!(subject.common_names().is_empty());
    let request =
        accept(&openssl.request(&["-subj", "/", "-addext", "subjectAltName=DNS:a.example"]));
    assert!(clm_pki::name::is_empty(request.subject_der()));
    assert_eq!(request.requested().subject_alternative_names.len(), 1);
}

#[test]
fn a_request_with_a_hundred_names() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let names: Vec<String> = (0..100)
        .map(|number| format!("DNS:host-{number}.example.com"))
        .collect();
    let extension = format!("subjectAltName={}", names.join(","));
    let request = accept(&openssl.request(&["-subj", "/CN=a", "-addext", &extension]));
    let read: Vec<String> = request
        .requested()
        .subject_alternative_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(read, names);
}

const EVERYTHING: &str = "
[req]
prompt = no
distinguished_name = dn
attributes = attributes
req_extensions = extensions
string_mask = utf8only
[dn]
C = DE
O = Gr\u{fc}\u{df}e \u{6771}\u{4eac} GmbH
0.OU = first
1.OU = second
CN = b\u{fc}cher
[attributes]
challengePassword = not-looked-at
unstructuredName = also not
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyAgreement
extendedKeyUsage = serverAuth,clientAuth
tlsfeature = status_request
subjectAltName = @names
[names]
DNS.1 = *.example.com
DNS.2 = xn--bcher-kva.example
IP.1 = 192.0.2.7
IP.2 = 2001:db8::7
URI.1 = https://example.com/a%20b
email.1 = someone@example.com
RID.1 = 1.2.3.4
otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:user@corp.example
dirName.1 = directory
[directory]
C = DE
CN = inner
";

#[test]
fn a_request_with_every_form_of_name() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let request = accept(&openssl.request_from(EVERYTHING));
    let subject = DistinguishedName::from_der(request.subject_der()).unwrap();
    assert_eq!(
        subject.rfc4514(),
        "CN=b\u{fc}cher,OU=second,OU=first,O=Gr\u{fc}\u{df}e \u{6771}\u{4eac} GmbH,C=DE"
    );
    let requested = request.requested();
    let usage = requested.key_usage.unwrap();
    assert!(usage.digital_signature && usage.key_agreement && !usage.key_encipherment);
    assert!(!requested.basic_constraints.unwrap().certificate_authority);
    assert_eq!(requested.extended_key_usage.len(), 2);
    assert_eq!(requested.other, ["1.3.6.1.5.5.7.1.24".parse().unwrap()]);
    let names = &requested.subject_alternative_names;
    let simple: Vec<String> = names.iter().take(7).map(ToString::to_string).collect();
    assert_eq!(
        simple,
        [
            "DNS:*.example.com",
            "DNS:xn--bcher-kva.example",
            "IP:192.0.2.7",
            "IP:2001:db8::7",
            "URI:https://example.com/a%20b",
            "email:someone@example.com",
            "RID:1.2.3.4",
        ]
    );
    let other = GeneralName::OtherName {
        type_id: "1.3.6.1.4.1.311.20.2.3".parse().unwrap(),
        value_der: b"\x0c\x11user@corp.example".to_vec(),
    };
    assert_eq!(names.get(7), Some(&other));
    let Some(GeneralName::DirectoryName(der)) = names.get(8) else {
        panic!("the ninth name is a directoryName");
    };
    assert_eq!(
        DistinguishedName::from_der(der).unwrap().rfc4514(),
        "CN=inner,C=DE"
    );
}

#[test]
fn every_string_mask_of_openssl_is_read() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    for mask in [
        "default",
        "pkix",
        "utf8only",
        "nombstr",
        "MASK:0x800",
        "MASK:0x100",
    ] {
        let configuration = EVERYTHING
            .replace("string_mask = utf8only", &format!("string_mask = {mask}"))
            .replace(" \u{6771}\u{4eac}", "");
        let request = accept(&openssl.request_from(&configuration));
        let subject = DistinguishedName::from_der(request.subject_der()).unwrap();
        assert_eq!(subject.common_names(), ["b\u{fc}cher"], "{mask}");
    }
}

#[test]
fn a_multi_valued_relative_name() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let request = accept(&openssl.request(&["-subj", "/O=Example/CN=a+UID=b", "-multivalue-rdn"]));
    let subject = DistinguishedName::from_der(request.subject_der()).unwrap();
    assert_eq!(subject.relative_names().len(), 2);
    let text = subject.rfc4514();
    assert_eq!(text, "CN=a+UID=b,O=Example");
    assert_eq!(from_rfc4514(&text).unwrap(), request.subject_der());
}

#[test]
fn openssl_reads_our_requests() {
    for algorithm in KeyAlgorithm::ALL {
        let openssl = Openssl::new();
        let key = PrivateKey::generate(algorithm).unwrap();
        let subject = from_rfc4514("CN=web+UID=7,O=Ex\u{e4}mple\\, Inc.,C=DE").unwrap();
        let names = [
            GeneralName::Dns("*.example.com".to_owned()),
            GeneralName::Ip("2001:db8::1".parse().unwrap()),
            GeneralName::Email("a@b.example".to_owned()),
            GeneralName::Uri("https://example.com/".to_owned()),
            GeneralName::DirectoryName(from_rfc4514("CN=inner").unwrap()),
        ];
        let request = build_request(&subject, &names, &key).unwrap();
        openssl.write("our.der", &request);
        let arguments = [
            "req", "-inform", "DER", "-in", "our.der", "-noout", "-verify", "-text",
        ];
        let text = openssl.run(&[&arguments[..], &["-nameopt", "RFC2253,-esc_msb,utf8"]].concat());
        assert!(text.contains("verify OK"), "{algorithm}: {text}");
        assert!(text.contains("Ex\u{e4}mple\\, Inc."), "{text}");
        for part in [
            "DNS:*.example.com",
            "IP Address:2001:DB8:0:0:0:0:0:1",
            "email:a@b.example",
            "DirName:/CN=inner",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}

#[test]
fn openssl_verifies_our_signatures() {
    let openssl = Openssl::new();
    openssl.write("message", "to be signed");
    for algorithm in [
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        openssl.write(
            "public.pem",
            pem::encode("PUBLIC KEY", key.subject_public_key_info()),
        );
        for signature_algorithm in SignatureAlgorithm::ALL
            .into_iter()
            .filter(|one| one.fits(algorithm))
        {
            openssl.write(
                "signature",
                key.sign(signature_algorithm, b"to be signed").unwrap(),
            );
            let name = signature_algorithm.as_str();
            let hash = format!("-{}", name.rsplit('-').next().unwrap());
            let mut arguments = vec![
                "dgst",
                &hash,
                "-verify",
                "public.pem",
                "-signature",
                "signature",
            ];
            if name.contains("pss") {
                arguments.extend([
                    "-sigopt",
                    "rsa_padding_mode:pss",
                    "-sigopt",
                    "rsa_pss_saltlen:digest",
                ]);
            }
            arguments.push("message");
            assert!(openssl.run(&arguments).contains("Verified OK"), "{name}");
        }
    }
}

struct Counting;

impl Rng for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for (position, byte) in buffer.iter_mut().enumerate() {
            *byte = u8::try_from(position % 251).unwrap();
        }
    }
}

#[test]
fn openssl_reads_our_keys_plain_and_encrypted() {
    for algorithm in KeyAlgorithm::ALL {
        let openssl = Openssl::new();
        let key = PrivateKey::generate(algorithm).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        let passphrase = SecretString::new("correct horse".to_owned());
        openssl.write("plain.pem", pem::encode("PRIVATE KEY", der.expose()));
        openssl.write(
            "locked.pem",
            pkcs8::encrypt(der.expose(), &passphrase, &Counting).unwrap(),
        );
        openssl.run(&["pkey", "-in", "plain.pem", "-check", "-noout"]);
        let arguments = [
            "pkey",
            "-in",
            "locked.pem",
            "-passin",
            "pass:correct horse",
            "-pubout",
        ];
        openssl.run(&[&arguments[..], &["-outform", "DER", "-out", "public.der"]].concat());
        assert_eq!(openssl.read("public.der"), key.subject_public_key_info());
        let wrong = openssl.output(&[
            "pkey",
            "-in",
            "locked.pem",
            "-passin",
            "pass:wrong",
            "-noout",
        ]);
        assert!(!wrong.status.success());
    }
}

#[test]
fn keys_that_openssl_encrypted_are_opened() {
    let openssl = Openssl::new();
    openssl.generate(&P256);
    let begin = [
        "pkcs8",
        "-topk8",
        "-in",
        "key.pem",
        "-out",
        "locked.pem",
        "-passout",
        "pass:pw",
    ];
    openssl.run(
        &[
            &begin[..],
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"],
        ]
        .concat(),
    );
    let passphrase = SecretString::new("pw".to_owned());
    let der = pkcs8::decrypt(&openssl.read("locked.pem"), &passphrase).unwrap();
    PrivateKey::from_pkcs8_der(der.expose()).unwrap();
    openssl.run(&[&begin[..], &["-scrypt"]].concat());
    let error = pkcs8::decrypt(&openssl.read("locked.pem"), &passphrase).unwrap_err();
    assert!(error.to_string().contains("another scheme"), "{error}");
}

#[test]
fn certificates_of_openssl_are_read() {
    for (algorithm, arguments) in GENERATE {
        let openssl = Openssl::new();
        openssl.generate(arguments);
        let begin = [
            "req",
            "-x509",
            "-key",
            "key.pem",
            "-out",
            "certificate.pem",
            "-days",
            "9",
        ];
        openssl.run(
            &[
                &begin[..],
                &[
                    "-subj",
                    "/O=Example/CN=root",
                    "-addext",
                    "subjectAltName=DNS:a.example",
                ],
            ]
            .concat(),
        );
        let certificate = Certificate::parse(&openssl.read("certificate.pem")).unwrap();
        assert_eq!(certificate.key_algorithm(), Some(algorithm));
        let key = certificate.public_key().unwrap();
        certificate.verify_signed_by(&key).unwrap();
        assert_eq!(
            (certificate.not_after() - certificate.not_before()).num_days(),
            9
        );
        assert!(
            certificate
                .basic_constraints()
                .unwrap()
                .unwrap()
                .certificate_authority
        );
        assert_eq!(certificate.subject_alternative_names().unwrap().len(), 1);
        assert_eq!(
            certificate.subject_key_identifier(),
            certificate.authority_key_identifier()
        );
        let text = openssl.run(&[
            "x509",
            "-in",
            "certificate.pem",
            "-noout",
            "-serial",
            "-fingerprint",
            "-sha256",
        ]);
        let serial = hex_upper(certificate.serial());
        assert!(
            text.contains(serial.trim_start_matches("00")),
            "{serial} is not in {text}"
        );
        let fingerprint = text.replace(':', "");
        assert!(fingerprint.contains(&hex_upper(&certificate.fingerprint_sha256())));
    }
}

#[test]
fn certificates_with_foreign_keys_and_old_signatures_are_read() {
    let openssl = Openssl::new();
    openssl.generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let begin = [
        "req",
        "-x509",
        "-key",
        "key.pem",
        "-out",
        "certificate.pem",
        "-days",
        "9",
    ];
    openssl.run(&[&begin[..], &["-subj", "/CN=old", "-sha1"]].concat());
    let certificate = Certificate::parse(&openssl.read("certificate.pem")).unwrap();
    assert_eq!(certificate.key_algorithm(), None);
    assert_eq!(certificate.signature_algorithm(), None);
    assert_eq!(certificate.public_key().unwrap_err().code(), "key_too_weak");
}

fn hex_upper(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
