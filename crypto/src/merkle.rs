//! The Merkle tree of RFC 6962 over the journal's ciphertext: one leaf an entry. Kept as its frontier,
//! the roots of the complete subtrees from left to right, so that appending costs O(log n) and the
//! state is a few hashes.

use crate::hash::{Digest, sha256};
use minicbor::{Decode, Encode};

/// A Merkle tree that can grow and tell its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Frontier {
    #[n(0)]
    size: u64,
    #[n(1)]
    subtrees: Vec<Digest>,
}

impl Frontier {
    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf (RFC 6962 section 2.1: hash of 0x00 and the bytes).
    pub fn push(&mut self, leaf: &[u8]) {
        let mut node = sha256(&[&[0x00], leaf]);
        let mut complete = self.size;
        while complete & 1 == 1 {
            if let Some(left) = self.subtrees.pop() {
                node = parent(&left, &node);
            }
            complete >>= 1;
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// The root over all leaves; of no leaves, the hash of the empty string.
    pub fn root(&self) -> Digest {
        let mut right_to_left = self.subtrees.iter().rev();
        match right_to_left.next() {
            None => sha256(&[]),
            Some(last) => right_to_left.fold(*last, |right, left| parent(left, &right)),
        }
    }
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MTH of RFC 6962 section 2.1, as written there.
    fn by_the_book(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => sha256(&[]),
            [one] => sha256(&[&[0], one]),
            many => {
                let split = many.len().next_power_of_two() / 2;
                let (left, right) = many.split_at(split);
                parent(&by_the_book(left), &by_the_book(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962_for_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        assert_eq!(frontier.root(), by_the_book(&leaves));
        for i in 0..200u32 {
            let leaf = i.to_be_bytes().to_vec();
            frontier.push(&leaf);
            leaves.push(leaf);
            assert_eq!(frontier.root(), by_the_book(&leaves), "size {}", i + 1);
        }
        assert_eq!(frontier.size(), 200);
    }

    #[test]
    fn the_empty_and_first_published_roots_agree() {
        assert_eq!(
            Frontier::default().root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
