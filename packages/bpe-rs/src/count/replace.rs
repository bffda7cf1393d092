//! Writing a file so that its name always stands for the old content or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::TrainError;

/// Whether a file must outlive a failure of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// On the disk before the call returns.
    Synced,
    /// When the system sees fit.
    Lazy,
}

/// Has `write` fill a new file, which then takes the place of `path`.
///
/// The new file stands beside `path` under another name until it is complete; renaming is atomic.
/// So an error, or the end of the process, leaves what was at `path`: in the worst case, a kill
/// between creating and renaming, a file `.pretoken-counts-PROCESS-NUMBER.tmp` remains as well.
/// A link is followed, and what is no file (a directory, a device) is left alone.
pub(super) fn replace<T>(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let failed = |source| write_error(path, source);
    let target = target_of(path).map_err(failed)?;
    let mut unfinished = Unfinished::create(&target).map_err(failed)?;
    let written = write(&mut unfinished.file)?;
    unfinished.finish(&target, durability).map_err(failed)?;
    Ok(written)
}

pub(super) fn write_error(path: &Path, source: io::Error) -> TrainError {
    TrainError::Write {
        path: path.to_owned(),
        source,
    }
}

/// A name that this process gives once.
pub(super) fn fresh_name(prefix: &str, suffix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{}-{number}{suffix}", std::process::id())
}

/// Tries `create` with fresh names until one is not taken, by another machine on a shared disk
/// or by what an earlier process of the same number left.
pub(super) fn create_fresh<T>(
    directory: &Path,
    prefix: &str,
    suffix: &str,
    create: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    loop {
        let path = directory.join(fresh_name(prefix, suffix));
        match create(&path) {
            Ok(created) => return Ok((path, created)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn target_of(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::canonicalize(path),
        Ok(_) => Err(io::Error::other("it is no regular file")),
        Err(_) => Ok(path.to_owned()), // not there, or to be found out by creating
    }
}

/// A file that is removed unless it is finished.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

impl Unfinished {
    fn create(target: &Path) -> io::Result<Self> {
        let (path, file) = create_fresh(parent(target), ".pretoken-counts-", ".tmp", |path| {
            OpenOptions::new().write(true).create_new(true).open(path)
        })?;
        Ok(Self {
            path,
            file,
            is_finished: false,
        })
    }

    fn finish(mut self, target: &Path, durability: Durability) -> io::Result<()> {
        if durability == Durability::Synced {
            self.file.sync_all()?;
        }
        fs::rename(&self.path, target)?;
        self.is_finished = true;
        if durability == Durability::Synced {
            sync_directory(parent(target));
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.path); // the error that led here says more
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Puts the new name on the disk, where directories can be synced; elsewhere the old content may
/// be back after a failure of power, whole.
fn sync_directory(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn put(path: &Path, content: &[u8]) -> Result<(), TrainError> {
        replace(path, Durability::Synced, |file| {
            file.write_all(content)
                .map_err(|error| write_error(path, error))
        })
    }

    #[test]
    fn the_new_content_takes_the_place_of_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in [&b"old and long"[..], b"new", b""] {
            put(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(names(directory.path()), ["file"]);
        }
    }

    #[test]
    fn an_error_half_way_leaves_the_old_content_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        put(&path, b"old").unwrap();
        let result = replace(&path, Durability::Lazy, |file| {
            file.write_all(b"half").unwrap();
            Err::<(), _>(TrainError::Interrupted)
        });
        assert!(matches!(result, Err(TrainError::Interrupted)));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for path in [
            &*inner,
            Path::new("/"),
            Path::new(""),
            &inner.join("missing/file"),
        ] {
            let error = put(path, b"new").unwrap_err();
            assert!(matches!(error, TrainError::Write { .. }), "{error}");
        }
        assert_eq!(names(directory.path()), ["inner"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        put(&file, b"old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        put(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let device = put(Path::new("/dev/null"), b"new").unwrap_err();
        assert!(device.to_string().contains("no regular file"));
    }
}
