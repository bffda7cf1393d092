//! What a file is, by its name and by the system's word, before any is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        }
    }
}

/// A file to be read.
#[derive(Debug)]
pub(super) struct InputFile {
    pub(super) path: PathBuf,
    /// Its place among those to be read.
    pub(super) number: usize,
    pub(super) compression: Option<Compression>,
    pub(super) is_jsonl: bool,
    /// What must be read of it, whatever is appended later; None for a pipe or a device, which is
    /// read to its end.
    pub(super) size: Option<u64>,
}

/// Looks at all files.
pub(super) fn check_all(paths: &[PathBuf]) -> Result<Vec<InputFile>, TrainError> {
    let numbered = paths.iter().enumerate();
    numbered
        .map(|(number, path)| InputFile::check(path, number))
        .collect()
}

/// Ends of names that are never text's. What others are not, their bytes will say.
const NOT_READ: [&str; 11] = [
    "7z", "br", "bz2", "lz4", "lzma", "rar", "snappy", "tar", "tgz", "xz", "zip",
];

impl InputFile {
    fn check(path: &Path, number: usize) -> Result<Self, TrainError> {
        let (name, compression) = match ending(path).as_str() {
            "gz" => (path.with_extension(""), Some(Compression::Gzip)),
            "zst" => (path.with_extension(""), Some(Compression::Zstd)),
            _ => (path.to_owned(), None),
        };
        let (path, ending) = (path.to_owned(), ending(&name));
        if NOT_READ.contains(&ending.as_str()) {
            return Err(TrainError::UnknownFormat { path, ending });
        }
        Ok(Self {
            size: checked_size(&path).map_err(|source| io_error(&path, source))?,
            path,
            number,
            compression,
            is_jsonl: matches!(ending.as_str(), "jsonl" | "ndjson"),
        })
    }

    /// Whether it can be read from any position. (The system gives some files that it makes up as
    /// they are read the size 0: those are read from the front.)
    pub(super) fn is_plain(&self) -> bool {
        self.compression.is_none() && self.size.is_some_and(|size| size > 0)
    }

    pub(super) fn io_error(&self, source: io::Error) -> TrainError {
        io_error(&self.path, source)
    }

    pub(super) fn changed(&self, expected: u64, found: u64) -> TrainError {
        TrainError::FileChanged {
            path: self.path.clone(),
            expected,
            found,
        }
    }

    pub(super) fn line_too_long(&self, line: u64, limit: usize) -> TrainError {
        let path = self.path.clone();
        TrainError::LineTooLong { path, line, limit }
    }
}

fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

/// The size of a file that was seen to be readable. A pipe is not touched: to open it waits for
/// the one who writes, and to close it again sends him away.
fn checked_size(path: &Path) -> io::Result<Option<u64>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    // On some systems a directory can be opened, but not read.
    let _first = file.read(&mut [0])?;
    Ok(Some(file.metadata()?.len()))
}

fn io_error(path: &Path, source: io::Error) -> TrainError {
    TrainError::Io {
        path: path.to_owned(),
        source,
    }
}
