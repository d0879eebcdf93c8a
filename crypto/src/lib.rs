//! The cryptography of Casemesh, in one place.
//!
//! **What it gives.** Ed25519 signatures that bind a context ([`sign`]); the RP/1 envelope that carries
//! a packet from one office to named others ([`envelope`]); sealing of everything at rest, bound to the
//! place where it lies ([`seal`]); keys behind a password ([`passphrase`]), behind printed recovery
//! shares ([`share`]), per person and per shred epoch ([`shred`]); the signed chain of an office's keys
//! ([`keylog`]); the Merkle log over the journal ([`merkle`]); random tokens ([`token`]); codes of a second factor
//! ([`factor`]).
//!
//! **What it does not give.** No files, no clock, no network: bytes in, bytes out; the time and the
//! random numbers are arguments. It does not hide how large a packet's bucket is, how many recipients
//! (rounded up to 1, 2, 4 or 8) it has, or when it was sent. It cannot wipe copies that the compiler or
//! the operating system made of a secret.
//!
//! Only this crate names an algorithm. The suites are fixed by the format's version; nothing is
//! negotiated with a peer.

pub mod bare;
pub mod browser;
#[macro_use]
pub mod bytes;
pub mod envelope;
pub mod factor;
pub mod hash;
pub mod keylog;
pub mod merkle;
pub mod passphrase;
pub mod prekey;
pub mod random;
mod schedule;
pub mod seal;
pub mod secret;
pub mod share;
pub mod shred;
pub mod sign;
pub mod stream;
pub mod token;
pub mod wire;

#[cfg(test)]
mod vectors;
