//! One Casemesh office: what it keeps, who may see it, and how it talks to others.

pub mod clock;
pub mod disk;
pub mod journal;
pub mod keys;
pub mod store;
pub mod vault;
