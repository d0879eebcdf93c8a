//! Newtypes over a fixed number of bytes: one for each thing that is named or keyed.

/// Why a text is not the hexadecimal form of a fixed number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal characters, found {actual}")]
pub struct HexError {
    /// How many characters the type has.
    pub expected: usize,
    /// How many hexadecimal characters there were.
    pub actual: usize,
}

/// Writes `bytes` as lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Reads exactly `N` bytes from hexadecimal text, upper or lower case.
///
/// # Errors
/// When the text has another length or another character.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let digits: Vec<u32> = text.chars().map_while(|c| c.to_digit(16)).collect();
    let wrong = HexError { expected: N * 2, actual: digits.len() };
    if digits.len() != N * 2 || text.len() != N * 2 {
        return Err(wrong);
    }
    let mut out = [0u8; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().fold(0u32, |sum, digit| sum * 16 + digit);
        *byte = u8::try_from(value).map_err(|_| wrong.clone())?;
    }
    Ok(out)
}

/// Declares a newtype over `[u8; N]`: CBOR byte string, hexadecimal text (also in JSON),
/// short `Debug`.
#[macro_export]
macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $len;

            /// Takes the bytes as they are.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Takes a slice of exactly the right length, else `None`.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                <[u8; $len]>::try_from(bytes).ok().map(Self)
            }

            /// Draws a fresh value.
            pub fn random(rng: &mut impl $crate::random::CryptoRng) -> Self {
                Self($crate::random::array(rng))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::bytes::to_hex(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let text = $crate::bytes::to_hex(&self.0);
                write!(f, "{}({}..)", stringify!($name), text.get(..8).unwrap_or(&text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::bytes::HexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::bytes::from_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?)
                    .ok_or_else(|| minicbor::decode::Error::message(concat!("length of ", stringify!($name))))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::sign::KeyId;

    #[test]
    fn text_and_bytes_are_inverse() {
        let id = KeyId::new([0, 1, 0xab, 0xff, 2, 3, 4, 5]);
        assert_eq!(id.to_string(), "0001abff02030405");
        assert_eq!("0001ABff02030405".parse(), Ok(id));
        assert_eq!(format!("{id:?}"), "KeyId(0001abff..)");
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "00", "0001abff0203040", "0001abff020304055", "0001abff0203040g", "٠٠٠١abff02030405"] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }
}
