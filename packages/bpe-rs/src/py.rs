//! The Python module `bpe_rs._core`: arguments in, the core called without the GIL, results out.
//!
//! Signatures and docstrings are in `python/bpe_rs/_core.pyi`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{
    PyKeyError, PyOSError, PyOverflowError, PyTypeError, PyUnicodeEncodeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString};

use crate::special::{Segment, SpecialTokens};
use crate::{
    BpeEncoder, EncodeStream, EncoderError, SpecialTokenError, TrainError, Trainer, Vocabulary,
};

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

impl From<TrainError> for PyErr {
    fn from(error: TrainError) -> Self {
        match &error {
            TrainError::Io { path, source } => match source.raw_os_error() {
                Some(code) => os_error(code, source, path),
                None => PyOSError::new_err(error.to_string()),
            },
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

/// One path or several.
#[derive(FromPyObject)]
enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

#[pyfunction]
#[pyo3(signature = (input_path, vocab_size, special_tokens, *, num_threads=None))]
fn train_bpe<'py>(
    py: Python<'py>,
    input_path: Paths,
    vocab_size: &Bound<'py, PyAny>,
    special_tokens: Vec<OwnedText>,
    num_threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let trainer = Trainer::new(integer("vocab_size", vocab_size)?, &special_tokens)?;
    let num_threads = num_threads
        .map(|value| integer("num_threads", value))
        .transpose()?;
    if num_threads == Some(0) {
        return Err(PyValueError::new_err(
            "num_threads must be at least 1, or None for one a core",
        ));
    }
    let trainer = trainer.num_threads(num_threads.unwrap_or(0));
    let paths = match input_path {
        Paths::One(path) => vec![path],
        Paths::Many(paths) => paths,
    };
    let vocabulary = train_interruptibly(py, &trainer, &paths)?;
    vocabulary_to_python(py, &vocabulary)
}

/// Trains on another thread, while this one looks whether Ctrl-C was pressed.
fn train_interruptibly(
    py: Python<'_>,
    trainer: &Trainer,
    paths: &[PathBuf],
) -> PyResult<Vocabulary> {
    let watch = trainer.watch();
    let mut signal = Ok(());
    let trained = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, is_done) = mpsc::channel::<()>();
            let job = scope.spawn(move || {
                let _done = done; // dropped at the end, which wakes the other thread
                trainer.train_files(paths)
            });
            while is_done.recv_timeout(SIGNAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if signal.is_ok() {
                    signal = Python::attach(|py| py.check_signals());
                    if signal.is_err() {
                        watch.interrupt();
                    }
                }
            }
            job.join()
        })
    });
    signal?;
    match trained {
        Ok(vocabulary) => Ok(vocabulary?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

fn vocabulary_to_python<'py>(
    py: Python<'py>,
    vocabulary: &Vocabulary,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let tokens: Vec<_> = vocabulary
        .tokens
        .iter()
        .map(|bytes| PyBytes::new(py, bytes))
        .collect();
    let vocab = PyDict::new(py);
    for (id, token) in tokens.iter().enumerate() {
        vocab.set_item(id, token)?;
    }
    let token = |id: u32| &tokens[id as usize];
    let merges = vocabulary
        .merges
        .iter()
        .map(|&(left, right)| (token(left), token(right)));
    Ok((vocab, PyList::new(py, merges)?))
}

/// An argument that must be a whole number of the type's range.
fn integer<'a, 'py, T: FromPyObject<'a, 'py, Error = PyErr>>(
    name: &str,
    value: &'a Bound<'py, PyAny>,
) -> PyResult<T> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            let bits = 8 * size_of::<T>();
            PyValueError::new_err(format!(
                "{name} must be at least 0 and below 2**{bits}, got {value}"
            ))
        } else {
            error
        }
    })
}

/// A `str` argument, looked at in place.
struct Text<'a>(&'a str);

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value
            .extract()
            .map(Text)
            .map_err(|error| explain_surrogate(value.py(), error))
    }
}

/// A `str` in a collection.
struct OwnedText(String);

impl<'py> FromPyObject<'_, 'py> for OwnedText {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        value
            .extract::<Text<'_>>()
            .map(|text| Self(text.0.to_owned()))
    }
}

impl AsRef<str> for OwnedText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Says in words what a UnicodeEncodeError means here; leaves other errors as they are.
fn explain_surrogate(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
        return error;
    }
    match error
        .value(py)
        .getattr("start")
        .and_then(|start| start.extract::<usize>())
    {
        Ok(position) => PyValueError::new_err(format!(
            "text must be valid Unicode, but character {position} is a lone surrogate; decode the \
             bytes it came from with errors=\"replace\", or replace the character"
        )),
        Err(error) => error,
    }
}

/// The names in `special_tokens=`; a `str` is a collection of its characters, and never meant.
fn names(special_tokens: &Bound<'_, PyAny>) -> PyResult<Vec<OwnedText>> {
    if special_tokens.is_instance_of::<PyString>() {
        let message = "special_tokens must be a collection of str, not one str; put it in a list";
        return Err(PyTypeError::new_err(message));
    }
    special_tokens
        .try_iter()?
        .map(|name| name?.extract())
        .collect()
}

fn special_ids(special_tokens: &Bound<'_, PyMapping>) -> PyResult<Vec<(String, u32)>> {
    let to_ids = |item: Bound<'_, PyAny>| {
        let (name, id): (OwnedText, Bound<'_, PyAny>) = item.extract()?;
        Ok((name.0, integer("id of a special token", &id)?))
    };
    special_tokens.items()?.iter().map(to_ids).collect()
}

#[pyfunction]
#[pyo3(signature = (text, special_tokens=Vec::new()), text_signature = "(text, special_tokens=())")]
fn pretokenize<'py>(
    py: Python<'py>,
    text: Text<'_>,
    special_tokens: Vec<OwnedText>,
) -> PyResult<Bound<'py, PyList>> {
    let special = SpecialTokens::new(&special_tokens)?;
    let pretokens = py.detach(|| {
        let mut pretokens = Vec::new();
        for segment in special.split(text.0) {
            match segment {
                Segment::Text(text) => pretokens.extend(crate::pretokenize(text)),
                Segment::Special(index) => pretokens.push(&special.tokens()[index]),
            }
        }
        pretokens
    });
    PyList::new(py, pretokens)
}

/// `BpeEncoder` for Python.
#[pyclass(frozen, name = "BpeEncoder", module = "bpe_rs._core")]
struct PyBpeEncoder(Arc<BpeEncoder>);

#[pymethods]
impl PyBpeEncoder {
    #[new]
    #[pyo3(signature = (vocab, merges, special_tokens=None))]
    fn new(
        vocab: &Bound<'_, PyMapping>,
        merges: Vec<(PyBackedBytes, PyBackedBytes)>,
        special_tokens: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let items = vocab.items()?;
        let entries = items.iter().map(|item| {
            let (id, bytes): (Bound<'_, PyAny>, Vec<u8>) = item.extract()?;
            Ok((integer("token id", &id)?, bytes))
        });
        let entries = entries.collect::<PyResult<Vec<(u32, Vec<u8>)>>>()?;
        let special_tokens = special_tokens
            .map(special_ids)
            .transpose()?
            .unwrap_or_default();
        let encoder = vocab
            .py()
            .detach(|| BpeEncoder::new(entries, &merges, &special_tokens))?;
        Ok(Self(Arc::new(encoder)))
    }

    #[pyo3(signature = (text, special_tokens=None))]
    fn encode(
        &self,
        py: Python<'_>,
        text: Text<'_>,
        special_tokens: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<u32>> {
        let chosen = special_tokens.map(names).transpose()?;
        let special = chosen.map(|chosen| self.0.special(&chosen)).transpose()?;
        Ok(py.detach(|| match &special {
            Some(special) => self.0.encode_with(text.0, special),
            None => self.0.encode(text.0),
        }))
    }

    #[pyo3(signature = (text, special_tokens=None))]
    fn encode_to_numpy<'py>(
        &self,
        py: Python<'py>,
        text: Text<'_>,
        special_tokens: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        Ok(self.encode(py, text, special_tokens)?.into_pyarray(py))
    }

    fn stream(&self) -> PyEncodeStream {
        PyEncodeStream(Mutex::new(EncodeStream::new(Arc::clone(&self.0))))
    }
}

/// `EncodeStream` for Python.
#[pyclass(frozen, name = "EncodeStream", module = "bpe_rs._core")]
struct PyEncodeStream(Mutex<EncodeStream>);

impl PyEncodeStream {
    /// Calls the stream without the GIL: whoever waits for the lock must not hold the GIL.
    fn call<'py>(
        &self,
        py: Python<'py>,
        call: impl FnOnce(&mut EncodeStream) -> Vec<u32> + Send,
    ) -> Bound<'py, PyArray1<u32>> {
        let token_ids =
            py.detach(|| call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
        token_ids.into_pyarray(py)
    }
}

#[pymethods]
impl PyEncodeStream {
    fn feed<'py>(&self, py: Python<'py>, text: Text<'_>) -> Bound<'py, PyArray1<u32>> {
        self.call(py, |stream| stream.feed(text.0))
    }

    fn finish<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.call(py, EncodeStream::finish)
    }
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{PyBpeEncoder, PyEncodeStream, pretokenize, train_bpe};

    #[pymodule_export]
    const GPT2_PATTERN: &str = crate::GPT2_PATTERN;
}
