//! Tests of `token`.

use super::*;

fn token(address: &str) -> PairingToken {
    PairingToken {
        address: address.to_owned(),
        authority_sha256: [7; 32],
        secret: [9; 32],
    }
}

#[test]
fn a_token_is_read_as_it_was_written() {
    for address in ["127.0.0.1:9443", "secure.example:1", "[::1]:9443"] {
        let text = token(address).to_text();
        let text = format!(" {}\n", text.expose());
        assert_eq!(text.parse::<PairingToken>(), Ok(token(address)));
    }
}

#[test]
fn a_damaged_token_is_refused() {
    let text = token("127.0.0.1:9443").to_text();
    let text = text.expose();
    for end in 0..text.len() {
        assert!(text[..end].parse::<PairingToken>().is_err(), "{end}");
    }
    let other = text.replace("pair-1", "pair-2");
    assert_eq!(other.parse::<PairingToken>(), Err(TokenError::Prefix));
    for address in ["", "host", "host:0", "host:99999", "a b:1"] {
        let text = token(address).to_text();
        let refused = text.expose().parse::<PairingToken>();
        assert_eq!(refused, Err(TokenError::Damaged), "{address}");
    }
}
