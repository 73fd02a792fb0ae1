//! Names that nobody should have, in CSRs and in JSON.

use clm_domain::key_algorithm::KeyAlgorithm;
use clm_pki::key::PrivateKey;
use serde_json::{Value, json};

use super::Input;
use crate::support::CERTIFICATE_AUTHORITIES;
use crate::support::der::{self, DNS_NAME};

/// The code and the field of a bad alternative name.
const BAD_NAME: (&str, &str) = (
    "subject_alternative_names_invalid",
    "subject_alternative_names",
);
/// A bad subject's.
const BAD_SUBJECT: (&str, &str) = ("subject_invalid", "subject");
/// `rfc822Name` and `uniformResourceIdentifier`.
const EMAIL: u8 = 0x81;
const URI: u8 = 0x86;

/// All of them.
pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = of_requests();
    inputs.extend(of_json());
    inputs.extend(of_other_operations());
    inputs
}

/// Properly signed CSRs.
fn of_requests() -> Vec<Input> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let name = |tag: u8, value: &str| {
        let names = [
            der::element(DNS_NAME, &[b"good.example"]),
            der::element(tag, &[value.as_bytes()]),
        ];
        let csr = der::csr(&der::empty_name(), &names, &key);
        Input::csr(&format!("the name {value:?}"), &csr, BAD_NAME.0, BAD_NAME.1)
    };
    let common_name = |value: &str| {
        let csr = der::csr(&der::common_name(value.as_bytes()), &[], &key);
        Input::csr(
            &format!("the common name {value:?}"),
            &csr,
            BAD_SUBJECT.0,
            BAD_SUBJECT.1,
        )
    };
    let many = |count: usize| -> String {
        let names: Vec<Vec<u8>> = (0..count)
            .map(|number| der::element(DNS_NAME, &[format!("h{number}.example").as_bytes()]))
            .collect();
        der::csr(&der::empty_name(), &names, &key)
    };
    vec![
        name(DNS_NAME, "good.example\0.evil.example"),
        name(DNS_NAME, "\0"),
        name(EMAIL, "a\0@good.example"),
        name(URI, "https://good.example/\0"),
        name(DNS_NAME, "*.*.example"),
        name(DNS_NAME, "*"),
        name(DNS_NAME, "*.example"),
        name(DNS_NAME, "a*.good.example"),
        name(DNS_NAME, "a.*.good.example"),
        name(DNS_NAME, "good.example."),
        name(DNS_NAME, "good..example"),
        name(DNS_NAME, "-good.example"),
        name(DNS_NAME, "good example"),
        name(DNS_NAME, "gööd.example"),
        name(DNS_NAME, ""),
        common_name("good.example\0.evil.example"),
        common_name("a\nb"),
        common_name("*.*.example"),
        common_name("*"),
        common_name("*.example"),
        common_name("good..example"),
        common_name(&"x".repeat(65)),
        Input::csr("1,001 names", &many(1_001), BAD_NAME.0, BAD_NAME.1),
        Input::csr("10,000 names", &many(10_000), "csr_too_long", "csr"),
    ]
}

/// Names beside a key that the platform shall make.
fn of_json() -> Vec<Input> {
    let own = |what: &str, mut body: Value, (code, field): (&'static str, &'static str)| {
        body["key_algorithm"] = json!("ecdsa-p256");
        Input::new(what, body, code, field)
    };
    let second = |name: &str| {
        let body = json!({ "subject_alternative_names": ["DNS:good.example", name] });
        own(
            &format!("{name:?}"),
            body,
            (BAD_NAME.0, "subject_alternative_names[1]"),
        )
    };
    let subject = |text: &str| {
        own(
            &format!("subject {text:?}"),
            json!({ "subject": text }),
            BAD_SUBJECT,
        )
    };
    let many: Vec<String> = (0..10_000)
        .map(|number| format!("DNS:h{number}.example"))
        .collect();
    let labels = |what: &str, labels: Value, code: &'static str, field: &'static str| {
        let mut body = labels;
        body["subject_alternative_names"] = json!(["DNS:good.example"]);
        own(what, body, (code, field))
    };
    vec![
        second("DNS:good.example\0.evil.example"),
        second("DNS:*.*.example"),
        second("email:a\0@good.example"),
        second("URI:https://good.example/\0"),
        second("IP:192.0.2.1\0"),
        second("IP:300.0.2.1"),
        second("good.example"),
        second("dirName:30"),
        second(""),
        subject("CN=good.example\0.evil.example"),
        subject("CN=*.*.example"),
        subject("CN=good.example\\00"),
        subject("good.example"),
        subject("CN="),
        own("no name at all", json!({}), ("subject_missing", "subject")),
        own(
            "10,000 names",
            json!({ "subject_alternative_names": many }),
            ("too_many_names", "subject_alternative_names"),
        ),
        labels(
            "a NUL in a tag",
            json!({ "tags": ["a", "b\0"] }),
            "tag_invalid",
            "tags[1]",
        ),
        labels(
            "51 tags",
            json!({ "tags": vec!["a"; 51] }),
            "too_many_labels",
            "tags",
        ),
        labels(
            "a NUL in a custom field",
            json!({ "custom_fields": { "a": "b\0" } }),
            "custom_field_invalid",
            "custom_fields",
        ),
    ]
}

/// Texts of other operations.
fn of_other_operations() -> Vec<Input> {
    let at = |what: &str, path, status, body, (code, field)| Input {
        status,
        path,
        ..Input::new(what, body, code, field)
    };
    let authority = |what: &str, changed: Value, code: &'static str, field: &'static str| {
        let mut body = json!({
            "name": "Bad", "subject": "CN=Bad", "key_algorithm": "ecdsa-p256", "validity_days": 30,
        });
        for (name, value) in changed.as_object().unwrap() {
            body[name] = value.clone();
        }
        at(what, CERTIFICATE_AUTHORITIES, 422, body, (code, field))
    };
    vec![
        authority(
            "a NUL in an authority's name",
            json!({ "name": "a\0" }),
            "name_invalid",
            "name",
        ),
        authority(
            "an authority without a name",
            json!({ "name": " " }),
            "name_invalid",
            "name",
        ),
        authority(
            "a NUL in an authority's subject",
            json!({ "subject": "CN=a\0" }),
            "subject_invalid",
            "subject",
        ),
        authority(
            "no subject",
            json!({ "subject": "" }),
            "subject_missing",
            "subject",
        ),
        authority(
            "an authority of no days",
            json!({ "validity_days": 0 }),
            "validity_out_of_range",
            "validity_days",
        ),
        authority(
            "an authority of a thousand years",
            json!({ "validity_days": 366_000 }),
            "validity_out_of_range",
            "validity_days",
        ),
        authority(
            "a signature that the key cannot make",
            json!({ "signature_algorithm": "rsa-pss-sha256" }),
            "signature_algorithm_invalid",
            "signature_algorithm",
        ),
        at(
            "a NUL in an API key's name",
            "/api/v1/api-keys",
            422,
            json!({ "name": "a\0" }),
            ("name_invalid", "name"),
        ),
    ]
}
