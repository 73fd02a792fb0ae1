//! The syntax of host names, mailboxes and URIs in certificates, as strict as those who verify.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest host name, in characters (RFC 1035 §2.3.4, without the root).
const HOST_CHARACTERS_MAX: usize = 253;
/// Longest label, in characters (RFC 1035 §2.3.4).
const LABEL_CHARACTERS_MAX: usize = 63;
/// Longest local part, in characters (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_CHARACTERS_MAX: usize = 64;
/// Longest mailbox, in characters (RFC 5321 §4.5.3.1.3, without the angle brackets).
const MAILBOX_CHARACTERS_MAX: usize = 254;
/// Longest URI, in characters. Browsers and verifiers take no more.
const URI_CHARACTERS_MAX: usize = 2_048;

/// A host name, or `*` before a host name of at least two labels.
pub(super) fn check_dns(name: &str) -> Result<(), String> {
    if name.len() > HOST_CHARACTERS_MAX {
        return Err(format!(
            "has {} characters; at most {HOST_CHARACTERS_MAX} are allowed",
            name.len()
        ));
    }
    let Some(parent) = name.strip_prefix("*.") else {
        return check_host(name);
    };
    if !parent.contains('.') {
        return Err("has a wildcard directly below a top-level domain".to_owned());
    }
    check_host(parent)
}

/// `local@domain`, the local part a dot-string.
pub(super) fn check_email(address: &str) -> Result<(), String> {
    if !address.is_ascii() {
        return Err("must be ASCII, its domain with A-labels (punycode)".to_owned());
    }
    if address.len() > MAILBOX_CHARACTERS_MAX {
        return Err(format!("has more than {MAILBOX_CHARACTERS_MAX} characters"));
    }
    let (local, domain) = address
        .split_once('@')
        .ok_or("must have the form local@domain")?;
    let is_dot_string = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_text));
    if !is_dot_string || local.len() > LOCAL_PART_CHARACTERS_MAX {
        return Err("has a malformed part before the @".to_owned());
    }
    check_host(domain).map_err(|message| format!("has a domain that {message}"))
}

/// `scheme:rest`, in the characters of RFC 3986.
pub(super) fn check_uri(uri: &str) -> Result<(), String> {
    if uri.len() > URI_CHARACTERS_MAX {
        return Err(format!("has more than {URI_CHARACTERS_MAX} characters"));
    }
    if !uri.bytes().all(is_uri_character) || !percent_encoding_is_whole(uri) {
        return Err("holds characters that a URI must percent-encode".to_owned());
    }
    let (scheme, rest) = uri
        .split_once(':')
        .ok_or("must be absolute: a scheme such as https, a colon, and what the scheme demands")?;
    let mut scheme_bytes = scheme.bytes();
    let is_scheme = scheme_bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && scheme_bytes
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme || rest.is_empty() {
        return Err("must be absolute: a scheme, a colon, and what the scheme demands".to_owned());
    }
    if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") {
        return check_authority(rest);
    }
    Ok(())
}

/// A host name of letters, digits and hyphens.
fn check_host(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if !name.is_ascii() {
        return Err(
            "holds characters beyond ASCII: write A-labels (punycode), such as \
                    xn--bcher-kva.example"
                .to_owned(),
        );
    }
    if name.ends_with('.') {
        return Err("ends with a dot".to_owned());
    }
    if name.len() > HOST_CHARACTERS_MAX {
        return Err(format!("has more than {HOST_CHARACTERS_MAX} characters"));
    }
    name.split('.').try_for_each(check_label)?;
    let last_is_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if last_is_number {
        return Err("ends with a number: write addresses as iPAddress".to_owned());
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("has an empty label".to_owned());
    }
    if label.len() > LABEL_CHARACTERS_MAX {
        return Err(format!(
            "has a label of {} characters; at most {LABEL_CHARACTERS_MAX} are allowed",
            label.len()
        ));
    }
    if label.contains('*') {
        return Err("has a '*' that is not the whole leftmost label".to_owned());
    }
    let is_ldh = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_ldh || label.starts_with('-') || label.ends_with('-') {
        return Err(
            "has a label with other than letters, digits and inner hyphens (no underscore)"
                .to_owned(),
        );
    }
    let is_bare_prefix = label.len() == 4 && label.eq_ignore_ascii_case("xn--");
    if is_bare_prefix {
        return Err("has an empty A-label".to_owned());
    }
    Ok(())
}

/// What stands behind the colon of `http:` and `https:` (RFC 3986 §3.2, RFC 9110 §4.2).
fn check_authority(rest: &str) -> Result<(), String> {
    let authority = rest
        .strip_prefix("//")
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .filter(|authority| !authority.is_empty())
        .ok_or("has no host")?;
    if authority.contains('@') {
        return Err("has a user name before the host".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (address, port) = literal.split_once(']').ok_or("has a malformed host")?;
            let is_address = address.parse::<Ipv6Addr>().is_ok();
            (
                is_address.then_some(""),
                port.strip_prefix(':').or((port.is_empty()).then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), Some("")),
        },
    };
    let host = host.ok_or("has a malformed host")?;
    let port_is_fine = port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok());
    if !port_is_fine {
        return Err("has a malformed port".to_owned());
    }
    if authority.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    check_host(host).map_err(|message| format!("has a host that {message}"))
}

/// RFC 5322 §3.2.3 `atext`.
const fn is_atom_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}

/// RFC 3986 §2: reserved, unreserved, and the percent sign.
const fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

fn percent_encoding_is_whole(uri: &str) -> bool {
    uri.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut next_is_digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        next_is_digit() && next_is_digit()
    })
}
