//! Random numbers. Every function that needs them takes the generator as an argument, so that a test
//! can fix it; a running node passes [`os_rng`].

pub use rand_core::CryptoRng;

/// The operating system's generator.
///
/// It panics only when the operating system has no random numbers to give, where nothing secret may
/// be made at all.
pub fn os_rng() -> impl CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Draws `N` bytes.
pub fn array<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut out = [0u8; N];
    rng.fill_bytes(&mut out);
    out
}
