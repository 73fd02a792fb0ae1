//! Certificate requests as OpenSSL writes them, of every kind that requesters send.

use std::path::Path;

use clm_tests::openssl;

/// RSA of 2048 bits, as arguments of `openssl genpkey`.
const RSA_2048: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA_3072: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
const RSA_4096: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"];
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const ED25519: &[&str] = &["-algorithm", "ED25519"];

/// Signs with RSASSA-PSS.
const PSS: &[&str] = &[
    "-sha256",
    "-sigopt",
    "rsa_padding_mode:pss",
    "-sigopt",
    "rsa_pss_saltlen:32",
];

/// One kind of request.
pub(super) struct Kind {
    /// Also the stem of its files.
    pub(super) name: &'static str,
    /// The key, as arguments of `openssl genpkey`.
    key: &'static [&'static str],
    /// The key as the platform calls it.
    pub(super) key_algorithm: &'static str,
    subject: &'static str,
    /// Lines of a section of names for OpenSSL; none leave the extension out.
    names: Vec<String>,
    /// Further arguments of `openssl req`.
    arguments: &'static [&'static str],
}

impl Kind {
    fn new(name: &'static str, subject: &'static str, names: &[&str]) -> Self {
        Self {
            name,
            key: P256,
            key_algorithm: "ecdsa-p256",
            subject,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            arguments: &[],
        }
    }

    fn key(name: &'static str, key: &'static [&'static str], key_algorithm: &'static str) -> Self {
        let kind = Self::new(name, "/O=Example/CN=key.example", &["DNS.1 = key.example"]);
        Self {
            key,
            key_algorithm,
            ..kind
        }
    }

    /// Whether it asks for names.
    pub(super) const fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The file of the request.
    pub(super) fn csr(&self) -> String {
        format!("{}.csr", self.name)
    }

    /// Makes key and request in `directory`.
    pub(super) fn write(&self, directory: &Path) {
        let (key, csr, configuration) = (
            format!("{}.key", self.name),
            self.csr(),
            format!("{}.cnf", self.name),
        );
        openssl::expect(directory, &[&["genpkey", "-out", &key], self.key].concat());
        let section = if self.has_names() {
            "req_extensions = extensions\n[extensions]\nsubjectAltName = @names\n[names]\n"
        } else {
            ""
        };
        let text = format!(
            "[subject]\n[directory]\nC = AT\nO = Example\nCN = Somebody\n[req]\nprompt = no\n\
             distinguished_name = subject\n{section}{}\n",
            self.names.join("\n")
        );
        std::fs::write(directory.join(&configuration), text).unwrap();
        let arguments = [
            "req",
            "-new",
            "-utf8",
            "-config",
            &configuration,
            "-key",
            &key,
            "-out",
            &csr,
            "-subj",
            self.subject,
        ];
        openssl::expect(directory, &[&arguments, self.arguments].concat());
    }
}

/// Every kind.
pub(super) fn kinds() -> Vec<Kind> {
    let many: Vec<String> = (1..=100)
        .map(|n| format!("DNS.{n} = host-{n}.many.example"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        Kind::key("rsa-2048", RSA_2048, "rsa-2048"),
        Kind::key("rsa-3072", RSA_3072, "rsa-3072"),
        Kind::key("rsa-4096", RSA_4096, "rsa-4096"),
        Kind::key("p-256", P256, "ecdsa-p256"),
        Kind::key("p-384", P384, "ecdsa-p384"),
        Kind::key("p-521", P521, "ecdsa-p521"),
        Kind::key("ed25519", ED25519, "ed25519"),
        Kind {
            arguments: PSS,
            ..Kind::key("rsa-pss", RSA_2048, "rsa-2048")
        },
        Kind {
            arguments: &["-outform", "DER"],
            ..Kind::new("der", "/CN=der.example", &["DNS.1 = der.example"])
        },
        Kind::new("common-name-only", "/CN=only.example", &[]),
        Kind::new(
            "no-common-name",
            "/O=Example",
            &["DNS.1 = nameless.example"],
        ),
        Kind::new("no-subject", "/", &["DNS.1 = subjectless.example"]),
        Kind::new("hundred-names", "/CN=host-1.many.example", &many),
        Kind::new(
            "addresses",
            "/CN=addresses.example",
            &[
                "IP.1 = 192.0.2.7",
                "IP.2 = 2001:db8::7",
                "URI.1 = https://addresses.example/a?b=%20c",
                "URI.2 = spiffe://addresses.example/workload",
                "DNS.1 = addresses.example",
                "DNS.2 = *.addresses.example",
            ],
        ),
        Kind::new(
            "unicode",
            "/C=AT/O=Müller & Söhne ㈱/OU=Ελληνικά/CN=Čeněk Δημήτρης 例え",
            &["DNS.1 = xn--mller-kva.example"],
        ),
        Kind::new(
            "multi-valued",
            "/O=Example/OU=a+UID=b+CN=c",
            &["DNS.1 = multi.example"],
        ),
        Kind::new(
            "other-forms",
            "/CN=other.example",
            &[
                "email.1 = somebody@other.example",
                "otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:somebody@other.example",
                "dirName.1 = directory",
                "RID.1 = 1.2.3.4",
            ],
        ),
    ]
}
