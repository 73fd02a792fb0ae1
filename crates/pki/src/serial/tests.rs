//! Tests of `serial`.

use super::*;

#[test]
fn a_random_serial_number_is_positive_and_17_octets() {
    for random in [[0_u8; 16], [0xFF; 16]] {
        let serial = SerialNumber::from_random(random);
        assert_eq!(serial.as_bytes().len(), 17);
        assert_eq!(serial.as_bytes()[0] & 0x80, 0);
        assert_eq!(&serial.as_bytes()[1..], &random);
        assert_eq!(SerialNumber::from_bytes(serial.as_bytes()), Ok(serial));
    }
}

#[test]
fn bytes_are_judged() {
    let longest = [0x7F; 20];
    for good in [&[1_u8][..], &[0x7F], &[0, 0x80], &longest] {
        assert!(SerialNumber::from_bytes(good).is_ok(), "{good:02x?}");
    }
    let too_long = [1; 21];
    for bad in [&[][..], &[0], &[0x80], &[0, 0x7F], &[0, 0], &too_long] {
        assert_eq!(
            SerialNumber::from_bytes(bad),
            Err(SerialNumberError),
            "{bad:02x?}"
        );
    }
}
