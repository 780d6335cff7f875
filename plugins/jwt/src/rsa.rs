//! Signatures of RSA (RFC 8017): PKCS #1 v1.5 and PSS. Only public keys are here, so nothing needs constant time.

use crate::algorithm::Hash;
use num_bigint::BigUint;
use portcullis_sdk::prelude::*;
use sha2::{Digest, Sha256, Sha384, Sha512};

pub struct RsaKey {
    modulus: BigUint,
    exponent: BigUint,
    /// Bits of the modulus.
    bits: usize,
}

/// Shorter ones are broken by those who want to; longer ones take longer than a guest has.
const BITS: core::ops::RangeInclusive<usize> = 2048..=4096;

/// What precedes a digest in `EMSA-PKCS1-v1_5` (section 9.2, note 1).
const SHA256: &[u8] = &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
const SHA384: &[u8] = &[0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30];
const SHA512: &[u8] = &[0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];

impl Hash {
    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().fold(D::new(), |digest, part| digest.chain_update(part)).finalize().to_vec()
        }
        match self {
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }
}

impl RsaKey {
    /// `None`: no key that anything should be verified with.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (modulus, exponent) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        let bits = usize::try_from(modulus.bits()).ok()?;
        let usual = exponent.bits() >= 2 && exponent.bits() <= 32 && exponent.bit(0) && modulus.bit(0);
        (BITS.contains(&bits) && usual).then_some(Self { modulus, exponent, bits })
    }

    /// Section 8.2.2. What the signature should hold is made and compared, not taken apart: there is nothing to be lenient about.
    pub fn verifies_pkcs1(&self, hash: Hash, signed: &[u8], signature: &[u8]) -> bool {
        let Some(encoded) = self.open(signature, self.bits.div_ceil(8)) else { return false };
        let digest = hash.digest(&[signed]);
        let behind = [&[0], hash.prefix(), &digest].concat();
        let Some(padding) = encoded.len().checked_sub(2 + behind.len()).filter(|padding| *padding >= 8) else { return false };
        encoded == [&[0, 1][..], &vec![0xff; padding], &behind].concat()
    }

    /// Section 8.1.2, with the hash's length of salt (RFC 7518, section 3.5).
    pub fn verifies_pss(&self, hash: Hash, signed: &[u8], signature: &[u8]) -> bool {
        let bits = self.bits - 1;
        let Some(encoded) = self.open(signature, bits.div_ceil(8)) else { return false };
        let digest = hash.digest(&[signed]);
        let length = digest.len();
        let Some(masked) = encoded.len().checked_sub(length + 1).filter(|masked| *masked > length) else { return false };
        let (block, rest) = encoded.split_at(masked);
        let (seed, last) = rest.split_at(length);
        let unused = 8 * encoded.len() - bits;
        let top = 0xff_u8.checked_shr(unused as u32).unwrap_or(0);
        if last != [0xbc] || block[0] & !top != 0 {
            return false;
        }
        let mut block: Vec<u8> = block.iter().zip(mask(hash, seed, masked)).map(|(byte, mask)| byte ^ mask).collect();
        block[0] &= top;
        let (padding, salt) = block.split_at(masked - length);
        let Some((one, zeros)) = padding.split_last() else { return false };
        *one == 1 && zeros.iter().all(|byte| *byte == 0) && hash.digest(&[&[0; 8], &digest, salt]) == seed
    }

    /// What was signed, in `length` bytes.
    fn open(&self, signature: &[u8], length: usize) -> Option<Vec<u8>> {
        let number = BigUint::from_bytes_be(signature);
        if signature.len() != self.bits.div_ceil(8) || number >= self.modulus {
            return None;
        }
        let opened = number.modpow(&self.exponent, &self.modulus).to_bytes_be();
        let zeros = length.checked_sub(opened.len())?;
        Some([vec![0; zeros], opened].concat())
    }
}

/// `MGF1` (appendix B.2.1).
fn mask(hash: Hash, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::new();
    for counter in 0_u32.. {
        if mask.len() >= length {
            break;
        }
        mask.extend(hash.digest(&[seed, &counter.to_be_bytes()]));
    }
    mask.truncate(length);
    mask
}
