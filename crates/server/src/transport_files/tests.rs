//! Tests of `transport_files`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn example() -> TransportFile {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    TransportFile {
        address: Some("secure.example:9443".to_owned()),
        authority_der: vec![1; 300],
        certificate_der: vec![2; 400],
        private_key_der: SecretBytes::new(vec![3; 138]),
        not_after: at("2030-01-08T00:00:00Z"),
        renew_at: at("2030-01-05T16:00:00Z"),
    }
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(CORE);
    assert!(TransportFile::read(&path).unwrap().is_none());
    for _ in 0..2 {
        example().write(&path).unwrap();
        let read = TransportFile::read(&path).unwrap().unwrap();
        assert_eq!(read.address, example().address);
        assert_eq!(read.authority_der, example().authority_der);
        assert_eq!(read.certificate_der, example().certificate_der);
        let key = read.private_key_der.expose();
        assert_eq!(key, example().private_key_der.expose());
        assert_eq!(read.not_after, example().not_after);
        assert_eq!(read.renew_at, example().renew_at);
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_named_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(CORE);
    example().write(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let key = STANDARD.encode([3; 138]);
    assert!(text.contains(&key));
    for damaged in [text.replace(&key, "AwM*"), text.replace('}', "")] {
        fs::write(&path, damaged).unwrap();
        let error = format!("{:#}", TransportFile::read(&path).unwrap_err());
        assert!(error.contains(CORE), "{error}");
        assert!(!error.contains("AwM"), "{error}");
    }
    fs::write(&path, vec![b' '; FILE_BYTES_MAX + 1]).unwrap();
    let error = TransportFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("too long"), "{error}");
}
