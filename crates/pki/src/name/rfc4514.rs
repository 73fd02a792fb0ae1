//! The text form of names (RFC 4514). Text and DER run in opposite directions: the text begins
//! with the most specific relative name.

use super::{Attribute, NameBuilder, NameError, attribute, text};

/// Characters that are written behind a backslash wherever they stand (RFC 4514 §2.4).
const SPECIAL: [char; 7] = ['"', '+', ',', ';', '<', '>', '\\'];

/// The DER of the name that `text` describes, such as `CN=web,O=Example,C=DE`.
///
/// # Errors
/// When the text is malformed, an attribute is unknown, or a value breaks a rule.
pub fn from_rfc4514(text: &str) -> Result<Vec<u8>, NameError> {
    if text.trim().is_empty() {
        return Ok(NameBuilder::new().build());
    }
    let mut relative_names = Vec::new();
    let mut attributes = Vec::new();
    let mut rest = text;
    loop {
        let (encoded, end) = read_attribute(rest)?;
        attributes.push(encoded);
        let (separator, after) = split_first_char(end);
        rest = after;
        if separator != Some('+') {
            relative_names.push(std::mem::take(&mut attributes));
        }
        if separator.is_none() {
            break;
        }
    }
    let builder = NameBuilder::new();
    relative_names
        .into_iter()
        .rev()
        .try_fold(builder, NameBuilder::add_encoded)
        .map(NameBuilder::build)
}

/// The text of relative names that stand in the order of the DER.
pub(super) fn to_text(relative_names: &[Vec<Attribute>]) -> String {
    let texts: Vec<String> = relative_names
        .iter()
        .rev()
        .map(|attributes| {
            let attributes: Vec<String> = attributes.iter().map(attribute_text).collect();
            attributes.join("+")
        })
        .collect();
    texts.join(",")
}

fn attribute_text(attribute: &Attribute) -> String {
    match (attribute::short_name(&attribute.oid), &attribute.text) {
        (Some(name), Some(text)) => format!("{name}={}", escape(text)),
        _ => format!("{}=#{}", attribute.oid, hex::encode(&attribute.value_der)),
    }
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        let at_edge = (character == ' ' && (position == 0 || position == last))
            || (character == '#' && position == 0);
        if text::is_unwanted(character) {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                out.push('\\');
                out.push_str(&hex::encode([byte]));
            }
            continue;
        }
        if at_edge || SPECIAL.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Reads `type=value`: the DER of the attribute, and the text from the separator on.
fn read_attribute(text: &str) -> Result<(Vec<u8>, &str), NameError> {
    let (name, value) = text
        .split_once('=')
        .ok_or(NameError::Syntax("an attribute needs the form TYPE=value"))?;
    let name = name.trim();
    let value = value.trim_start_matches(' ');
    if let Some(hexadecimal) = value.strip_prefix('#') {
        let end = hexadecimal.find([',', '+']).unwrap_or(hexadecimal.len());
        let (digits, rest) = hexadecimal.split_at(end);
        let value_der = hex::decode(digits.trim_end())
            .map_err(|_| NameError::Syntax("after '#' hexadecimal digits must follow"))?;
        return Ok((attribute::encode_raw(name, &value_der)?, rest));
    }
    let (value, rest) = unescape(value)?;
    Ok((attribute::encode(name, &value)?, rest))
}

/// Reads a value up to the separator and resolves its escapes.
fn unescape(text: &str) -> Result<(String, &str), NameError> {
    let mut bytes = Vec::with_capacity(text.len());
    // How much of `bytes` stays when unescaped trailing spaces are cut off.
    let mut kept = 0;
    let mut rest = text;
    loop {
        let (character, after) = split_first_char(rest);
        match character {
            None | Some(',' | '+') => break,
            Some('\\') => {
                let (byte, after) = read_escape(after)?;
                bytes.push(byte);
                kept = bytes.len();
                rest = after;
                continue;
            }
            Some('"' | ';' | '<' | '>') => {
                return Err(NameError::Syntax(
                    "the characters \" ; < > need a backslash in front",
                ));
            }
            Some(other) => {
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                if other != ' ' {
                    kept = bytes.len();
                }
            }
        }
        rest = after;
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes)
        .map_err(|_| NameError::Syntax("the hexadecimal escapes give no valid UTF-8"))?;
    Ok((value, rest))
}

/// Reads what follows a backslash: a special character, or two hexadecimal digits.
fn read_escape(text: &str) -> Result<(u8, &str), NameError> {
    const MALFORMED: NameError =
        NameError::Syntax("after a backslash a special character or two digits must follow");
    if let (Some(character), rest) = split_first_char(text)
        && (SPECIAL.contains(&character) || matches!(character, ' ' | '#' | '='))
    {
        return u8::try_from(character)
            .map(|byte| (byte, rest))
            .map_err(|_| MALFORMED);
    }
    let (digits, rest) = text.split_at_checked(2).ok_or(MALFORMED)?;
    let byte = hex::decode(digits).map_err(|_| MALFORMED)?;
    match byte.as_slice() {
        [byte] => Ok((*byte, rest)),
        _ => Err(MALFORMED),
    }
}

fn split_first_char(text: &str) -> (Option<char>, &str) {
    let mut characters = text.chars();
    (characters.next(), characters.as_str())
}
