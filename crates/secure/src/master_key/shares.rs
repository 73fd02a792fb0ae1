//! Split knowledge: a master key as `count` shares of which `threshold` give it back and fewer say
//! nothing about it (Shamir over GF(2^8), byte by byte, in constant time: `vsss-rs`).
//!
//! A share travels as text that names the key, the set and its place in it. SHA-256 of each share is
//! stored when the set comes into force ([`Share::commitment`]): a share is as random as the key, so
//! its hash says nothing about it. Shares of two sets never go together.

use std::convert::Infallible;
use std::str::FromStr;

use clm_domain::clock::Rng;
use clm_domain::ids::EncryptionKeyId;
use clm_domain::limits::{MASTER_KEY_SHARES_MAX, MASTER_KEY_THRESHOLD_MIN};
use clm_domain::secret::{SecretBytes, SecretString};
use clm_domain::states::MasterKeyProviderKind;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use super::MasterKeyProvider;
use super::software::SoftwareMasterKey;
use crate::envelope::KEY_BYTES;

/// The first line.
const HEADER: &str = "clm-master-key-share version 1 shamir-gf256";
/// What the hash of a share begins with, so that it is the hash of nothing else.
const COMMITMENT_LABEL: &[u8] = b"clm master key share, version 1";
/// Longest text of a share, in bytes; a real one has less than half of that.
const SHARE_TEXT_BYTES_MAX: usize = 1024;

/// A set of shares that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareSet {
    /// The master key.
    pub(crate) encryption_key_id: EncryptionKeyId,
    /// This splitting of it.
    pub(crate) set_id: Uuid,
    /// How many shares give the key.
    pub(crate) threshold: u8,
    /// How many there are.
    pub(crate) count: u8,
}

/// One share.
pub(crate) struct Share {
    pub(crate) set: ShareSet,
    /// Its place in the set, from 1.
    pub(crate) index: u8,
    bytes: SecretBytes,
}

/// The text is no share, or the shares give no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// It has another form.
    #[error("it is not the text of a share: {0}")]
    Malformed(&'static str),
    /// It was cut short or changed.
    #[error("it is damaged, the checksum does not fit")]
    Damaged,
    /// Nobody can be asked for so many, or so few.
    #[error(
        "a key is split into at most {MASTER_KEY_SHARES_MAX} shares, of which two or more give it"
    )]
    OutOfRange,
    /// They are not of one set, too few, or twice the same.
    #[error("these shares do not go together")]
    DoNotGoTogether,
    /// They were made just now, and give another key.
    #[error("the shares that were made do not give their key")]
    DoNotGive,
}

impl ShareSet {
    /// Whether such a set can be made.
    pub(crate) fn check(self) -> Result<Self, ShareFault> {
        let possible = MASTER_KEY_THRESHOLD_MIN <= self.threshold
            && self.threshold <= self.count
            && self.count <= MASTER_KEY_SHARES_MAX;
        possible.then_some(self).ok_or(ShareFault::OutOfRange)
    }
}

impl Share {
    /// What is stored of the share.
    pub(crate) fn commitment(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(COMMITMENT_LABEL)
            .chain_update(self.set.encryption_key_id.as_uuid().as_bytes())
            .chain_update(self.set.set_id.as_bytes())
            .chain_update([self.set.threshold, self.set.count, self.index])
            .chain_update(self.bytes.expose())
            .finalize()
            .into()
    }

    /// The text that a custodian keeps.
    pub(crate) fn render(&self) -> SecretString {
        let ShareSet {
            encryption_key_id,
            set_id,
            threshold,
            count,
        } = self.set;
        let digits = Zeroizing::new(hex::encode(self.bytes.expose()));
        let body = SecretString::new(format!(
            "{HEADER}\nkey {encryption_key_id}\nset {set_id}\nshare {} of {count}, any {threshold} \
             open\n{}\n",
            self.index, *digits
        ));
        let checksum = hex::encode(Sha256::digest(body.expose().as_bytes()));
        SecretString::new(format!("{}sha256 {checksum}\n", body.expose()))
    }

    /// Reads the text. Space around it does no harm.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, ShareFault> {
        let malformed = ShareFault::Malformed;
        let text = text.expose().trim();
        if text.len() > SHARE_TEXT_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let mut lines = text.lines().map(str::trim_end);
        if lines.next() != Some(HEADER) {
            return Err(malformed("its first line is not that of a known version"));
        }
        let (Some(key), Some(set), Some(place), Some(digits), Some(checksum), None) = (
            lines.next(),
            lines.next(),
            lines.next(),
            lines.next(),
            lines.next(),
            lines.next(),
        ) else {
            return Err(malformed("it does not have six lines"));
        };
        let mut hash = Sha256::new();
        for line in [HEADER, key, set, place, digits] {
            hash.update(line);
            hash.update("\n");
        }
        if checksum.strip_prefix("sha256 ") != Some(hex::encode(hash.finalize()).as_str()) {
            return Err(ShareFault::Damaged);
        }
        let (index, count, threshold) =
            place_of(place).ok_or(malformed("its fourth line does not say which share it is"))?;
        let set = ShareSet {
            encryption_key_id: field::<Uuid>(key, "key ")
                .ok_or(malformed("its second line names no key"))?
                .into(),
            set_id: field(set, "set ").ok_or(malformed("its third line names no set"))?,
            threshold,
            count,
        }
        .check()?;
        if index == 0 || index > set.count {
            return Err(ShareFault::OutOfRange);
        }
        let mut bytes = Zeroizing::new(vec![0_u8; KEY_BYTES]);
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| malformed("its fifth line is not 64 hexadecimal digits"))?;
        Ok(Self {
            set,
            index,
            bytes: SecretBytes::new(std::mem::take(&mut *bytes)),
        })
    }
}

/// Splits a key.
pub(crate) fn split(
    key: &SoftwareMasterKey,
    set: ShareSet,
    rng: &dyn Rng,
) -> Result<Vec<Share>, ShareFault> {
    let set = set.check()?;
    let limits = (usize::from(set.threshold), usize::from(set.count));
    let shares = Gf256::split_bytes(
        limits.0,
        limits.1,
        key.material().expose(),
        CryptoSource(rng),
    )
    .map_err(|_| ShareFault::OutOfRange)?;
    let shares = shares.into_iter().map(|share| {
        let share = Zeroizing::new(share);
        let (index, bytes) = share.split_first().ok_or(ShareFault::OutOfRange)?;
        Ok(Share {
            set,
            index: *index,
            bytes: SecretBytes::new(bytes.to_vec()),
        })
    });
    shares.collect()
}

/// The key that shares of one set give. Whether it is the right one its check value says.
pub(crate) fn combine<'a>(
    shares: impl IntoIterator<Item = &'a Share>,
) -> Result<SoftwareMasterKey, ShareFault> {
    let shares: Vec<&Share> = shares.into_iter().collect();
    let set = shares.first().map(|share| share.set);
    let set = set.ok_or(ShareFault::DoNotGoTogether)?;
    let alike = shares.iter().all(|share| share.set == set);
    if !alike || shares.len() < usize::from(set.threshold) {
        return Err(ShareFault::DoNotGoTogether);
    }
    let points = shares.iter().map(|share| {
        let mut point = Vec::with_capacity(KEY_BYTES + 1);
        point.push(share.index);
        point.extend_from_slice(share.bytes.expose());
        point
    });
    let mut points: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(points.collect());
    points.truncate(usize::from(set.threshold));
    let key = Gf256::combine_bytes(&*points).map_err(|_| ShareFault::DoNotGoTogether)?;
    Ok(SoftwareMasterKey::new(
        MasterKeyProviderKind::Shamir,
        SecretBytes::new(key),
    ))
}

/// Whether fresh shares give their key: the first ones of them that are enough, and the last ones.
pub(crate) fn prove(shares: &[Share], key: &SoftwareMasterKey) -> Result<(), ShareFault> {
    let threshold = shares.first().map_or(0, |share| share.set.threshold);
    let threshold = usize::from(threshold);
    let first: Vec<&Share> = shares.iter().take(threshold).collect();
    let last: Vec<&Share> = shares.iter().rev().take(threshold).collect();
    for some in [first, last] {
        if combine(some)?.check_value() != key.check_value() {
            return Err(ShareFault::DoNotGive);
        }
    }
    Ok(())
}

/// The check value of the key that the texts of these shares give.
///
/// # Errors
/// [`ShareFault`].
pub fn check_value_of_shares(texts: &[SecretString]) -> Result<[u8; 32], ShareFault> {
    let shares: Result<Vec<Share>, ShareFault> = texts.iter().map(Share::parse).collect();
    combine(&shares?).map(|key| key.check_value())
}

fn field<T: FromStr>(line: &str, name: &str) -> Option<T> {
    line.strip_prefix(name)?.parse().ok()
}

/// Index, count and threshold in `share 2 of 3, any 2 open`.
fn place_of(line: &str) -> Option<(u8, u8, u8)> {
    let rest = line.strip_prefix("share ")?.strip_suffix(" open")?;
    let (place, threshold) = rest.split_once(", any ")?;
    let (index, count) = place.split_once(" of ")?;
    Some((
        index.parse().ok()?,
        count.parse().ok()?,
        threshold.parse().ok()?,
    ))
}

/// Our randomness, as the library asks for it.
struct CryptoSource<'a>(&'a dyn Rng);

impl TryRng for CryptoSource<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(clm_domain::clock::random_bytes(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(clm_domain::clock::random_bytes(self.0)))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}

impl TryCryptoRng for CryptoSource<'_> {}

#[cfg(test)]
mod tests;
