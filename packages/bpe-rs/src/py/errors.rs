//! Every error of the crate as the Python exception its caller expects.

use std::io;
use std::path::Path;

use pyo3::exceptions::{PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::{DecodeError, DropoutError, EncoderError, PatternError, SpecialTokenError, TrainError};

impl From<SpecialTokenError> for PyErr {
    fn from(error: SpecialTokenError) -> Self {
        match error {
            SpecialTokenError::Unknown { .. } => PyKeyError::new_err(error.to_string()),
            _ => PyValueError::new_err(error.to_string()),
        }
    }
}

impl From<EncoderError> for PyErr {
    fn from(error: EncoderError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

impl From<DropoutError> for PyErr {
    fn from(error: DropoutError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

impl From<DecodeError> for PyErr {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownToken { .. } => PyKeyError::new_err(error.to_string()),
            DecodeError::TooManyLong => PyValueError::new_err(error.to_string()),
        }
    }
}

impl From<PatternError> for PyErr {
    fn from(error: PatternError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

impl From<TrainError> for PyErr {
    fn from(error: TrainError) -> Self {
        match &error {
            TrainError::Io { path, source } | TrainError::Write { path, source } => {
                match source.raw_os_error() {
                    Some(code) => os_error(code, source, path),
                    None => PyOSError::new_err(error.to_string()),
                }
            }
            TrainError::Spill { .. }
            | TrainError::Compressed { .. }
            | TrainError::FileChanged { .. } => PyOSError::new_err(error.to_string()),
            _ => PyValueError::new_err(error.to_string()),
        }
    }
}

/// OSError(errno, text, path, winerror) makes itself a FileNotFoundError and so on, everywhere.
fn os_error(code: i32, source: &io::Error, path: &Path) -> PyErr {
    let text = source.to_string();
    let text = text
        .strip_suffix(&format!(" (os error {code})"))
        .unwrap_or(&text)
        .to_owned();
    PyOSError::new_err((code, text, path.as_os_str().to_owned(), code))
}
