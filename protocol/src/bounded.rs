//! Text and lists that cannot be too long: the bound is in the type and is checked where the bytes come in.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A text or a list is longer than its place allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{actual} is more than the {max} that fit here")]
pub struct TooLong {
    /// How much fits: bytes of a text, items of a list.
    pub max: usize,
    /// How much there was.
    pub actual: usize,
}

/// Text of at most `N` bytes of UTF-8.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const N: usize>(String);

impl<const N: usize> Text<N> {
    /// Takes a text that fits.
    ///
    /// # Errors
    /// When it is longer than `N` bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        if text.len() > N { Err(TooLong { max: N, actual: text.len() }) } else { Ok(Self(text)) }
    }

    /// Takes as much of a text as fits, cut between two characters. For texts of our own making.
    pub fn cut(text: &str) -> Self {
        Self(
            text.chars()
                .scan(0, |used, c| {
                    *used += c.len_utf8();
                    (*used <= N).then_some(c)
                })
                .collect(),
        )
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<const N: usize, C> Encode<C> for Text<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, const N: usize, C> Decode<'b, C> for Text<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(d.str()?).map_err(minicbor::decode::Error::message)
    }
}

/// At most `N` items.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct List<T, const N: usize>(Vec<T>);

impl<T, const N: usize> List<T, N> {
    /// Takes items that fit.
    ///
    /// # Errors
    /// When there are more than `N`.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        if items.len() > N { Err(TooLong { max: N, actual: items.len() }) } else { Ok(Self(items)) }
    }

    /// The items.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The items, taken out.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// One after another.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a List<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<T: Encode<C>, const N: usize, C> Encode<C> for List<T, N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, T: Decode<'b, C>, const N: usize, C> Decode<'b, C> for List<T, N> {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let stated = d.array()?.ok_or_else(|| minicbor::decode::Error::message("indefinite length"))?;
        let count = usize::try_from(stated).ok().filter(|count| *count <= N);
        let count = count.ok_or_else(|| minicbor::decode::Error::message("too many items"))?;
        (0..count).map(|_| T::decode(d, ctx)).collect::<Result<Vec<T>, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::wire;

    #[test]
    fn too_much_is_refused_at_every_door() {
        assert_eq!(Text::<4>::new("12345"), Err(TooLong { max: 4, actual: 5 }));
        assert!(wire::decode::<Text<4>>(&wire::encode(&Text::<5>::new("12345").unwrap())).is_err());
        assert!(wire::decode::<List<u8, 2>>(&wire::encode(&vec![1u8, 2, 3])).is_err());
        let claims_four_billion = [0x9a, 0xff, 0xff, 0xff, 0xff, 1];
        assert!(wire::decode::<List<u8, 2>>(&claims_four_billion).is_err());
    }

    #[test]
    fn a_cut_text_ends_between_two_characters() {
        assert_eq!(Text::<4>::cut("añññ").as_str(), "añ");
        assert_eq!(Text::<4>::cut("abcd").as_str(), "abcd");
    }
}
