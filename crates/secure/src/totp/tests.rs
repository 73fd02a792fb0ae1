//! Tests of `totp`, by the vectors of the standards.

use super::*;

fn secret() -> SecretBytes {
    SecretBytes::new(b"12345678901234567890".to_vec())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn code(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

/// RFC 6238 Appendix B, SHA-1; the last six of its eight digits.
#[test]
fn the_vectors_of_rfc_6238_hold() {
    for (seconds, digits) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        let step = matching_step(&secret(), &code(digits), at(seconds));
        assert_eq!(step, Some(seconds / 30), "{seconds}");
    }
}

/// RFC 4226 Appendix D: the counters 0 to 3.
#[test]
fn the_vectors_of_rfc_4226_hold() {
    for (step, digits) in [(0, "755224"), (1, "287082"), (2, "359152"), (3, "969429")] {
        assert_eq!(code_of(&secret(), step).expose(), digits);
    }
}

#[test]
fn a_device_may_be_one_step_wrong_and_no_more() {
    let shown = |step| code_of(&secret(), step);
    let now = at(1_000 * 30 + 7);
    for (step, found) in [
        (998, None),
        (999, Some(999)),
        (1_000, Some(1_000)),
        (1_001, Some(1_001)),
        (1_002, None),
    ] {
        assert_eq!(matching_step(&secret(), &shown(step), now), found, "{step}");
    }
    assert_eq!(matching_step(&secret(), &code("000000"), now), None);
}

#[test]
fn only_six_digits_are_a_code() {
    for (text, is) in [
        ("012345", true),
        ("12345", false),
        ("1234567", false),
        ("12345a", false),
        ("١٢٣", false),
        ("", false),
    ] {
        assert_eq!(is_code(&code(text)), is, "{text}");
    }
}

/// RFC 4648 §10.
#[test]
fn base32_is_that_of_rfc_4648() {
    for (plain, text) in [
        ("", ""),
        ("f", "MY"),
        ("fo", "MZXQ"),
        ("foo", "MZXW6"),
        ("foob", "MZXW6YQ"),
        ("fooba", "MZXW6YTB"),
        ("foobar", "MZXW6YTBOI"),
    ] {
        assert_eq!(base32(plain.as_bytes()).expose(), text);
    }
}

#[test]
fn the_label_is_escaped() {
    let uri = uri(&secret(), "ann@example.org/ä&x=1");
    let expected = "otpauth://totp/CLM:ann%40example.org%2F%C3%A4%26x%3D1\
        ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=CLM&algorithm=SHA1&digits=6&period=30";
    assert_eq!(uri.expose(), expected);
}
