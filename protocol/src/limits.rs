//! Every bound of the protocol, with its reason.

/// A code of a code list: short, so that tables stay readable.
pub const CODE_BYTES_MAX: usize = 64;
/// A label, a name of an office, one line of text.
pub const LINE_BYTES_MAX: usize = 400;
/// The need in a preview: enough to decide, too little for a life story (domain.md 4i: 500 letters).
pub const NEED_BYTES_MAX: usize = 2_000;
/// A note that travels with an answer.
pub const NOTE_BYTES_MAX: usize = 4_000;
/// The brief of a case in a full packet: a few printed pages.
pub const BRIEF_BYTES_MAX: usize = 64 * 1024;
/// How many coded or listed things one field can hold.
pub const LIST_MAX: usize = 64;
/// Fields about a person in a full packet.
pub const SHARED_FIELDS_MAX: usize = 256;
/// What one part of a case that is handed over may hold, in bytes: with its fields and seal it stays below a packet.
pub const MOVED_PART_BYTES_MAX: usize = 140 * 1024;
/// Parts of one case that is handed over: together they fit one value of the store.
pub const MOVED_PARTS_MAX: u16 = 6;
/// Entries, tasks and payments of one part.
pub const MOVED_ITEMS_MAX: usize = 4_096;
/// Documents that go with one packet.
pub const DOCUMENTS_SHARED_MAX: usize = 32;
/// Longest document, in bytes: a scanned file of a court, a short film.
pub const DOCUMENT_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Longest sealed file: a document, and a tag for each of its chunks.
pub const BLOB_BYTES_MAX: u64 = DOCUMENT_BYTES_MAX + DOCUMENT_BYTES_MAX / 1024;
/// What of a file goes in one frame: no sender has more than that under way in a stream.
pub const BLOB_PIECE_BYTES_MAX: usize = 128 * 1024;
/// Largest frame about a file.
pub const BLOB_FRAME_BYTES_MAX: usize = 192 * 1024;
/// Files that a node waits for at the same time, from all others.
pub const BLOBS_WANTED_MAX: usize = 256;
/// Events of one referral: years of questions and answers.
pub const THREAD_EVENTS_MAX: usize = 2_048;
/// Cells of one table of statistics.
pub const TABLE_CELLS_MAX: usize = 4_096;
/// Offices of one network.
pub const DIRECTORY_OFFICES_MAX: usize = 10_000;
/// Prekeys that an office publishes ahead: one a week for a season, and some that still run.
pub const PREKEYS_MAX: usize = 32;
/// Largest network file: so many cards with the prekeys of a season.
pub const DIRECTORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Largest hello frame.
pub const HELLO_FRAME_BYTES_MAX: usize = 8 * 1024;
/// Largest packet frame: a packet and its wrapping.
pub const PACKET_FRAME_BYTES_MAX: usize = 256 * 1024;
/// Largest mailbox frame: one packet, or a list.
pub const MAILBOX_FRAME_BYTES_MAX: usize = 256 * 1024;
/// Items of one mailbox list.
pub const MAILBOX_LIST_MAX: usize = 256;
/// What a hub keeps for one office, in bytes.
pub const MAILBOX_OFFICE_BYTES_MAX: u64 = 200 * 1024 * 1024;
/// What a hub keeps for one office, in packets.
pub const MAILBOX_OFFICE_PACKETS_MAX: usize = 2_000;
/// What a hub keeps from one sender for one office, in packets.
pub const MAILBOX_PAIR_PACKETS_MAX: usize = 200;
/// What a hub keeps from one sender for one office, in bytes.
pub const MAILBOX_PAIR_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// What a hub keeps for all offices together, in bytes.
pub const MAILBOX_HUB_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How long a packet lives unless it says less: 30 days.
pub const PACKET_LIFETIME_HOURS: u32 = 30 * 24;

/// A sender's clock may differ by this much; beyond it a person looks first.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 24 * 3600;
/// Longest bundle, in bytes: it is read as a whole.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Packets that wait for one destination.
pub const OUTBOX_PER_OFFICE_MAX: usize = 10_000;
