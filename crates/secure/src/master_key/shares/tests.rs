//! Tests of `shares`.

use super::super::conformance::CountingRng;
use super::*;

fn set(threshold: u8, count: u8) -> ShareSet {
    ShareSet {
        encryption_key_id: Uuid::from_u128(1).into(),
        set_id: Uuid::from_u128(2),
        threshold,
        count,
    }
}

fn key(start: u64) -> SoftwareMasterKey {
    SoftwareMasterKey::generate(MasterKeyProviderKind::Shamir, &CountingRng::new(start))
}

fn split_key(key: &SoftwareMasterKey, set: ShareSet) -> Vec<Share> {
    split(key, set, &CountingRng::new(77)).unwrap()
}

#[test]
fn any_threshold_of_shares_gives_the_key_and_fewer_do_not() {
    let key = key(1);
    for (threshold, count) in [(2, 2), (2, 3), (3, 5), (16, 16), (2, 16)] {
        let shares = split_key(&key, set(threshold, count));
        assert_eq!(shares.len(), usize::from(count));
        let indices: Vec<u8> = shares.iter().map(|share| share.index).collect();
        assert_eq!(indices, (1..=count).collect::<Vec<u8>>());
        let from = usize::from(count - threshold);
        let last = combine(&shares[from..]).unwrap();
        assert_eq!(last.check_value(), key.check_value());
        assert_eq!(combine(&shares).unwrap().check_value(), key.check_value());
        let few = combine(&shares[..usize::from(threshold) - 1]);
        assert_eq!(few.err(), Some(ShareFault::DoNotGoTogether));
    }
}

#[test]
fn sets_are_bounded() {
    for (threshold, count) in [(0, 0), (1, 1), (1, 3), (0, 3), (4, 3), (2, 17), (200, 255)] {
        let refused = split(&key(1), set(threshold, count), &CountingRng::new(1));
        assert_eq!(
            refused.err(),
            Some(ShareFault::OutOfRange),
            "{threshold}/{count}"
        );
    }
}

#[test]
fn shares_of_two_sets_or_the_same_twice_do_not_go_together() {
    let key = key(1);
    let one = split_key(&key, set(2, 3));
    let mut other = set(2, 3);
    other.set_id = Uuid::from_u128(3);
    let other = split(&key, other, &CountingRng::new(500)).unwrap();
    for pair in [[&one[0], &other[1]], [&one[0], &one[0]]] {
        assert_eq!(combine(pair).err(), Some(ShareFault::DoNotGoTogether));
    }
}

#[test]
fn a_share_is_read_as_it_was_written() {
    let shares = split_key(&key(1), set(2, 3));
    for share in &shares {
        let text = share.render();
        assert!(
            text.expose()
                .contains(&format!("share {} of 3, any 2 open", share.index))
        );
        for wrapped in [
            text.expose().to_owned(),
            format!("\n  {}  \n", text.expose().trim_end()),
            text.expose().replace('\n', "\r\n"),
        ] {
            let read = Share::parse(&SecretString::new(wrapped)).unwrap();
            assert_eq!((read.set, read.index), (share.set, share.index));
            assert_eq!(read.commitment(), share.commitment());
        }
    }
    let texts: Vec<SecretString> = shares.iter().skip(1).map(Share::render).collect();
    assert_eq!(check_value_of_shares(&texts), Ok(key(1).check_value()));
    let commitments: std::collections::BTreeSet<_> = shares.iter().map(Share::commitment).collect();
    assert_eq!(commitments.len(), 3);
}

#[test]
fn every_cut_and_every_changed_byte_is_noticed() {
    let text = split_key(&key(1), set(2, 3))[0].render();
    let text = text.expose().trim_end().as_bytes();
    for length in 0..text.len() {
        let cut = String::from_utf8(text[..length].to_vec()).unwrap();
        assert!(Share::parse(&SecretString::new(cut)).is_err(), "{length}");
    }
    for position in 0..text.len() {
        let mut changed = text.to_vec();
        changed[position] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        let fault = Share::parse(&SecretString::new(changed)).err().unwrap();
        assert!(!format!("{fault} {fault:?}").contains("0a0"), "{position}");
    }
    let long = "x".repeat(10_000);
    assert!(Share::parse(&SecretString::new(long)).is_err());
}

#[test]
fn a_place_that_cannot_be_is_refused_even_with_the_right_checksum() {
    for place in [
        "share 0 of 3, any 2 open",
        "share 4 of 3, any 2 open",
        "share 1 of 3, any 1 open",
    ] {
        let body = format!(
            "{HEADER}\nkey {}\nset {}\n{place}\n{}\n",
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            "0a".repeat(32)
        );
        let checksum = hex::encode(Sha256::digest(body.as_bytes()));
        let text = SecretString::new(format!("{body}sha256 {checksum}\n"));
        assert_eq!(
            Share::parse(&text).err(),
            Some(ShareFault::OutOfRange),
            "{place}"
        );
    }
}

#[test]
fn fresh_shares_are_tried_before_anybody_depends_on_them() {
    let key = key(1);
    let shares = || split_key(&key, set(2, 5));
    prove(&shares(), &key).unwrap();
    // The first that are enough, and the last.
    for index in [0, 1, 3, 4] {
        let mut wrong = shares();
        let mut bytes = wrong[index].bytes.expose().to_vec();
        bytes[7] ^= 1;
        wrong[index].bytes = SecretBytes::new(bytes);
        let refused = prove(&wrong, &key);
        assert_eq!(refused, Err(ShareFault::DoNotGive), "{index}");
    }
    assert!(prove(&[], &key).is_err());
}
