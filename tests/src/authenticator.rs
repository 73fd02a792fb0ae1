//! The device of a user: an authenticator (RFC 6238) that is not this program's.

use aws_lc_rs::hmac;

/// Seconds that a code is shown.
const STEP_SECONDS: i64 = 30;

/// What a device remembers.
#[derive(Clone, Debug)]
pub struct Authenticator {
    secret: Vec<u8>,
}

impl Authenticator {
    /// Reads an `otpauth` address.
    ///
    /// # Panics
    /// When it is none.
    pub fn read(uri: &str) -> Self {
        assert!(uri.starts_with("otpauth://totp/CLM:"), "{uri}");
        let secret = uri.split("secret=").nth(1).expect("it has a secret");
        let secret = secret.split('&').next().unwrap_or_default();
        assert_eq!(secret.len(), 32, "twenty bytes");
        let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
        for letter in secret.bytes() {
            let five = match letter {
                b'A'..=b'Z' => letter - b'A',
                _ => letter - b'2' + 26,
            };
            buffer = buffer << 5 | u32::from(five);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(buffer >> bits & 255).expect("eight bits"));
            }
        }
        Self { secret: bytes }
    }

    /// What it shares with the platform.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What it shows at a time, in seconds since 1970.
    ///
    /// # Panics
    /// Never.
    pub fn code_at(&self, seconds: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &(seconds / STEP_SECONDS).to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().expect("it has twenty bytes") & 15);
        let four = tag
            .get(offset..offset + 4)
            .and_then(|four| four.try_into().ok());
        let four: [u8; 4] = four.expect("it has twenty bytes");
        format!(
            "{:06}",
            (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
        )
    }

    /// Six digits that it does not show about then.
    ///
    /// # Panics
    /// Never.
    pub fn wrong_at(&self, seconds: i64) -> String {
        let about = [-60, -30, 0, 30, 60].map(|skew| self.code_at(seconds + skew));
        (0..=5)
            .map(|digit| format!("{digit}{digit}{digit}{digit}{digit}{digit}"))
            .find(|code| !about.contains(code))
            .expect("five codes are not six")
    }
}
