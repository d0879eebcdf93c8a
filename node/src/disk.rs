//! Files that survive a power cut: written beside, synced, renamed, and the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file as a whole, or leaves the old one.
///
/// # Errors
/// When the disk refuses.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Writes a file that [`sync_new`] makes last; a power cut before that may leave any part of it.
///
/// # Errors
/// When the disk refuses.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    options.open(path)?.write_all(bytes)
}

/// Syncs files of one folder, and their names at once.
///
/// # Errors
/// When the disk refuses.
pub fn sync_new(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        OpenOptions::new().write(true).open(path)?.sync_all()?;
    }
    paths.first().map_or(Ok(()), |path| sync_parent(path))
}

/// Removes a file; that it was gone already is no failure.
///
/// # Errors
/// When the disk refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is no more room.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge)
}

/// What to say, and what to do, when the disk refuses.
pub fn refusal(error: &io::Error) -> String {
    match error.kind() {
        _ if is_full(error) => {
            "the disk is full: what was saved before is kept, this was not; make room on the disk, then try again"
                .into()
        }
        io::ErrorKind::PermissionDenied => {
            format!("the disk refuses: {error}; let the account that runs Casemesh write in its folder")
        }
        _ => format!("the disk refuses: {error}"),
    }
}

/// Makes a folder that only this account can read.
///
/// # Errors
/// When the disk refuses.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Syncs the folder in which a file lies, so that its name survives too.
///
/// # Errors
/// When the disk refuses.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// New files are readable by this account only.
pub fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// Reads a file that must not be larger than `max` bytes; `None` when there is none.
///
/// # Errors
/// When the disk refuses or the file is larger.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than it can be")),
        false => Ok(Some(bytes)),
    }
}
