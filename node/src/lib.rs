//! One Casemesh office: what it keeps, who may see it, and how it talks to others.

pub mod bundle;
pub mod calendars;
pub mod clock;
pub mod codes;
pub mod disk;
pub mod forms;
pub mod index;
pub mod journal;
pub mod keys;
pub mod mailbox;
pub mod names;
pub mod net;
pub mod node;
mod numbers;
pub mod office;
pub mod packs;
pub mod pictures;
pub mod policy;
pub mod records;
pub mod relay;
pub mod session;
pub mod spool;
pub mod store;
pub mod vault;
pub mod vocabulary;
pub mod zone;
