//! One way to write CBOR. A decoder accepts many encodings of one value (longer integers, indefinite
//! lengths, trailing bytes); two nodes that hash or sign must see one. So every decoded value is
//! encoded again and must give the same bytes (RFC 8949 section 4.2 in effect).

use minicbor::{Decode, Encode};

/// The bytes are not the one canonical encoding of such a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical encoding")]
pub struct NotCanonical;

/// Encodes a value.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let written = minicbor::encode(value, &mut out);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    out
}

/// Decodes the whole of `bytes` as one value in canonical form.
///
/// # Errors
/// When the bytes are of another shape, not the shortest form, or more than one value.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, NotCanonical> {
    let value: T = minicbor::decode(bytes).map_err(|_| NotCanonical)?;
    if encode(&value) == bytes { Ok(value) } else { Err(NotCanonical) }
}

/// Extension pairs that a version does not know: kept as they are, signed with the rest. Their presence
/// is what lets a later version add a field without splitting the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Extensions(#[n(0)] Vec<Extension>);

impl Extensions {
    /// How many pairs one value may carry.
    pub const COUNT_MAX: usize = 16;

    /// Whether the pairs are within bounds.
    pub fn is_bounded(&self) -> bool {
        self.0.len() <= Self::COUNT_MAX && self.0.iter().all(|pair| pair.value.len() <= Extension::VALUE_BYTES_MAX)
    }
}

/// One extension pair.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Extension {
    /// The number that a later version gave to the field.
    #[n(0)]
    pub number: u16,
    /// Its encoded value.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl Extension {
    /// How long one value may be.
    pub const VALUE_BYTES_MAX: usize = 4096;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_of_a_value_are_refused() {
        let canonical = encode(&Extension { number: 7, value: vec![1, 2] });
        assert_eq!(canonical, [0x82, 0x07, 0x42, 1, 2]);
        assert!(decode::<Extension>(&canonical).is_ok());
        let longer_integer = [0x82, 0x18, 0x07, 0x42, 1, 2];
        let indefinite = [0x9f, 0x07, 0x42, 1, 2, 0xff];
        let trailing = [0x82, 0x07, 0x42, 1, 2, 0];
        let one_more_field = [0x83, 0x07, 0x42, 1, 2, 0];
        for bytes in [&longer_integer[..], &indefinite, &trailing, &one_more_field, &[], &[0xff]] {
            assert!(decode::<Extension>(bytes).is_err(), "{bytes:x?}");
        }
    }
}
