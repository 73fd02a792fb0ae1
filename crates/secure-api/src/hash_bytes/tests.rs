//! Tests of `hash_bytes`.

use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    #[serde(with = "crate::hash_bytes")]
    hash: Vec<u8>,
}

fn message() -> Message {
    Message {
        hash: vec![0, 1, 0xfe, 0xff],
    }
}

#[test]
fn json_holds_hexadecimal_text() {
    let text = serde_json::to_string(&message()).unwrap();
    assert_eq!(text, r#"{"hash":"0001feff"}"#);
    assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message());
    for bad in [r#"{"hash":"0"}"#, r#"{"hash":"xx"}"#, r#"{"hash":[0,1]}"#] {
        assert!(serde_json::from_str::<Message>(bad).is_err(), "{bad}");
    }
}

#[test]
fn cbor_holds_bytes() {
    let mut bytes = Vec::new();
    ciborium::into_writer(&message(), &mut bytes).unwrap();
    // A map of one, the text "hash", and a byte string of four (RFC 8949 §3.1).
    assert_eq!(bytes, b"\xa1\x64hash\x44\x00\x01\xfe\xff");
    let read: Message = ciborium::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(read, message());
}
