//! What a file is, by its name and by the system's word, before any is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
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

/// A file to be read, or some bytes of one.
///
/// ```
/// use bpe_rs::FilePart;
///
/// let whole = FilePart::from("corpus.txt");
/// let half = FilePart { bytes: Some(0..500), ..whole.clone() };
/// # assert_eq!(half.path, whole.path);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The file.
    pub path: PathBuf,
    /// What is read of it, as if there were nothing before and behind; None means all. Only of a
    /// file that is neither compressed nor a table: they can't be read from the middle.
    pub bytes: Option<Range<u64>>,
}

impl<P: Into<PathBuf>> From<P> for FilePart {
    fn from(path: P) -> Self {
        Self {
            path: path.into(),
            bytes: None,
        }
    }
}

/// What is to be read.
#[derive(Debug)]
pub(super) struct InputFile {
    pub(super) path: PathBuf,
    /// Its place among those to be read.
    pub(super) number: usize,
    pub(super) compression: Option<Compression>,
    pub(super) is_jsonl: bool,
    /// How much must be read of it, whatever is appended later; None for a pipe or a device, which
    /// is read to its end.
    pub(super) size: Option<u64>,
    /// The bytes that are read, where they are not all.
    pub(super) part: Option<Part>,
}

/// Some bytes of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The first of them; `InputFile::size` says how many there are.
    pub(super) start: u64,
    /// The size of the whole file.
    pub(super) of: u64,
}

/// Looks at all files.
pub(super) fn check_all(parts: &[FilePart]) -> Result<Vec<InputFile>, TrainError> {
    let numbered = parts.iter().enumerate();
    numbered
        .map(|(number, part)| InputFile::check(part, number))
        .collect()
}

/// Ends of names that are never text's. What others are not, their bytes will say.
const NOT_READ: [&str; 11] = [
    "7z", "br", "bz2", "lz4", "lzma", "rar", "snappy", "tar", "tgz", "xz", "zip",
];

impl InputFile {
    fn check(part: &FilePart, number: usize) -> Result<Self, TrainError> {
        let path = part.path.as_path();
        let (name, compression) = match ending(path).as_str() {
            "gz" => (path.with_extension(""), Some(Compression::Gzip)),
            "zst" => (path.with_extension(""), Some(Compression::Zstd)),
            _ => (path.to_owned(), None),
        };
        let (path, ending) = (path.to_owned(), ending(&name));
        if NOT_READ.contains(&ending.as_str()) {
            return Err(TrainError::UnknownFormat { path, ending });
        }
        let size = checked_size(&path).map_err(|source| io_error(&path, source))?;
        let file = Self {
            size,
            path,
            number,
            compression,
            is_jsonl: matches!(ending.as_str(), "jsonl" | "ndjson"),
            part: None,
        };
        match &part.bytes {
            Some(bytes) => file.limited_to(bytes),
            None => Ok(file),
        }
    }

    fn limited_to(self, bytes: &Range<u64>) -> Result<Self, TrainError> {
        match self.size {
            Some(of) if self.is_plain() && bytes.start < bytes.end && bytes.end <= of => Ok(Self {
                size: Some(bytes.end - bytes.start),
                part: Some(Part {
                    start: bytes.start,
                    of,
                }),
                ..self
            }),
            size => Err(TrainError::NoSuchPart {
                path: self.path,
                start: bytes.start,
                stop: bytes.end,
                size: size.filter(|_| self.compression.is_none()),
            }),
        }
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
