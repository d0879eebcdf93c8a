//! The Merkle tree of RFC 6962. The journal's has one leaf an entry and is kept as its frontier, the roots of the complete subtrees from
//! left to right, so that appending costs O(log n) and the state is a few hashes. [`Tree`] is one that is whole, and proves its leaves.

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
        let mut node = of_leaf(leaf);
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

fn of_leaf(leaf: &[u8]) -> Digest {
    sha256(&[&[0x00], leaf])
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

/// A Merkle tree of all its leaves. Pairing each level from the left, an odd last node going up as it is, gives the tree of RFC 6962
/// section 2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// From the leaves up to the root.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over some leaves.
    pub fn new<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Self {
        let mut level: Vec<Digest> = leaves.into_iter().map(|leaf| of_leaf(leaf.as_ref())).collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => parent(left, right),
                alone => alone.first().copied().unwrap_or_else(|| sha256(&[])),
            });
            let above = above.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Self { levels }
    }

    /// The root; of no leaves, the hash of the empty string.
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| sha256(&[]))
    }

    /// The audit path of a leaf, from below (RFC 6962 section 2.1.1).
    pub fn path(&self, leaf: usize) -> Vec<Digest> {
        let at = |(height, level): (usize, &Vec<Digest>)| level.get((leaf >> height) ^ 1).copied();
        self.levels.iter().enumerate().filter_map(at).collect()
    }
}

/// The root that a leaf and its audit path give, in a tree of so many leaves; none where the path has another length (RFC 9162 section
/// 2.1.3.2).
pub fn root_by_path(leaf: &[u8], (place, leaves): (usize, usize), path: &[Digest]) -> Option<Digest> {
    if place >= leaves {
        return None;
    }
    let (mut at, mut last, mut node, mut path) = (place, leaves - 1, of_leaf(leaf), path.iter());
    while last > 0 {
        if at & 1 == 1 {
            node = parent(path.next()?, &node);
        } else if at < last {
            node = parent(&node, path.next()?);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    path.next().is_none().then_some(node)
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
    fn a_path_proves_its_leaf_at_its_place_and_nothing_else() {
        for size in 0..70usize {
            let leaves: Vec<Vec<u8>> = (0..size).map(|leaf| leaf.to_be_bytes().to_vec()).collect();
            let tree = Tree::new(&leaves);
            assert_eq!(tree.root(), by_the_book(&leaves), "size {size}");
            for (place, leaf) in leaves.iter().enumerate() {
                let path = tree.path(place);
                let proven = |leaf: &[u8], place, size, path: &[Digest]| root_by_path(leaf, (place, size), path);
                assert_eq!(proven(leaf, place, size, &path), Some(tree.root()));
                assert_ne!(proven(b"another", place, size, &path), Some(tree.root()));
                assert_eq!(proven(leaf, size, size, &path), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_ne!(proven(leaf, place, size, shorter), Some(tree.root()));
                    assert_ne!(proven(leaf, place ^ 1, size, &path), Some(tree.root()));
                }
                let longer = [path.as_slice(), &[tree.root()]].concat();
                assert_eq!(proven(leaf, place, size, &longer), None);
            }
        }
    }

    #[test]
    fn the_empty_and_first_published_roots_agree() {
        assert_eq!(
            Frontier::default().root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
