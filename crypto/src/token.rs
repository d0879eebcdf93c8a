//! Random tokens for sessions and codes, and comparison in constant time.

use crate::hash::{Digest, sha256};
use crate::random::{self, CryptoRng};
use subtle::ConstantTimeEq as _;

/// Crockford's base-32 alphabet: no I, L, O, U, so that a person can read it out.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A token of 256 random bits, as hexadecimal text. Store its [`digest`], never the token.
pub fn session_token(rng: &mut impl CryptoRng) -> String {
    crate::bytes::to_hex(&random::array::<32>(rng))
}

/// A code that a person reads out or types: `symbols` characters of 5 bits.
pub fn spoken_code(symbols: usize, rng: &mut impl CryptoRng) -> String {
    let mut bytes = vec![0u8; symbols];
    rng.fill_bytes(&mut bytes);
    bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|&symbol| char::from(symbol)).collect()
}

/// What is stored of a token.
pub fn digest(token: &str) -> Digest {
    sha256(&[b"casemesh/1/token\0", token.as_bytes()])
}

/// Whether two byte strings are equal, in a time that tells nothing but their lengths.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Groups of five characters of Crockford's base 32, and back: how a share or a key is printed.
pub fn to_printed(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    let mut push = |value: u32| {
        if text.len() % 6 == 5 {
            text.push('-');
        }
        let symbol = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0');
        text.push(char::from(symbol));
    };
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(buffer >> bits);
            buffer &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        push(buffer << (5 - bits));
    }
    text
}

/// Reads what [`to_printed`] wrote: hyphens, spaces and case do not matter, `I` and `L` are 1, `O` is 0.
/// `None` when a character belongs to no code or the padding is not zero.
pub fn from_printed(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for symbol in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let symbol = match symbol.to_ascii_uppercase() {
            'I' | 'L' => b'1',
            'O' => b'0',
            other => u8::try_from(u32::from(other)).ok()?,
        };
        let value = ALPHABET.iter().position(|&known| known == symbol)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    (buffer == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_bytes_read_back_whatever_the_hand_made_of_them() {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(from_printed(&to_printed(&bytes)), Some(bytes));
        }
        assert_eq!(from_printed("oO0 -l1Ii"), from_printed("000-1111"));
        assert_eq!(from_printed("AU"), None);
    }
}
