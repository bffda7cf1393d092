//! `BpeEncoder` and `EncodeStream`.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use numpy::{Element, IntoPyArray, PyArray1, PyArrayDescr, PyArrayDescrMethods, dtype};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyInt, PyList, PyMapping, PyString};

use super::arguments::{
    Paths, Text, at_least, explain_surrogate, integer, names, parts, special_ids,
};
use super::files::FilesToPython;
use super::long_text::{LastConverted, LongText};
use crate::encode::TokenId;
use crate::{BpeEncoder, Dropout, EncodeStream, FilesEncoder, Pattern, PatternError, SpecialIds};

/// Shorter texts are encoded before another thread could have taken the GIL and given it back.
const DETACH_BYTES: usize = 16 << 10;

/// `BpeEncoder` for Python.
#[pyclass(frozen, name = "BpeEncoder", module = "bpe_rs._core")]
pub(super) struct PyBpeEncoder {
    encoder: Arc<BpeEncoder>,
    /// Those to recognise, all or some of the encoder's.
    special: SpecialIds,
    /// The ids as Python has them, made once: a list of them is then only counted up.
    ints: Arc<PyOnceLock<Vec<Py<PyInt>>>>,
    converted: LastConverted,
}

impl From<BpeEncoder> for PyBpeEncoder {
    fn from(encoder: BpeEncoder) -> Self {
        Self {
            special: encoder.all_special().clone(),
            encoder: Arc::new(encoder),
            ints: Arc::default(),
            converted: LastConverted::default(),
        }
    }
}

/// Ids from here on are made into Python integers each time.
const MAX_INTS: u32 = 1 << 18;

type Offsets<'py> = Bound<'py, PyArray1<i64>>;

impl PyBpeEncoder {
    fn ints(&self, py: Python<'_>) -> &[Py<PyInt>] {
        self.ints.get_or_init(py, || {
            let count = self.encoder.max_token_id().saturating_add(1).min(MAX_INTS);
            (0..count).map(|token_id| int(py, token_id)).collect()
        })
    }

    fn list<'py>(&self, py: Python<'py>, token_ids: &[u32]) -> PyResult<Bound<'py, PyList>> {
        let ints = self.ints(py);
        let to_int = |&token_id: &u32| match ints.get(token_id as usize) {
            Some(int) => int.clone_ref(py),
            None => int(py, token_id),
        };
        PyList::new(py, token_ids.iter().map(to_int))
    }

    /// The ids of texts as an array of the type that is asked for, and where each text's end.
    fn encode_texts<'py>(
        &self,
        py: Python<'py>,
        texts: &[&str],
        num_threads: usize,
        dtype: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<usize>)> {
        if self.is_narrow(py, dtype)? {
            self.encode_texts_as::<u16>(py, texts, num_threads)
        } else {
            self.encode_texts_as::<u32>(py, texts, num_threads)
        }
    }

    fn encode_texts_as<'py, T: TokenId + Element>(
        &self,
        py: Python<'py>,
        texts: &[&str],
        num_threads: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<usize>)> {
        let bytes = texts.iter().map(|text| text.len()).sum();
        let (token_ids, ends) = detached(py, bytes, || {
            let special = &self.special;
            self.encoder.encode_texts::<T>(texts, special, num_threads)
        })?;
        Ok((token_ids.into_pyarray(py).into_any(), ends))
    }

    /// Whether `dtype`, uint32 if not given, is uint16.
    fn is_narrow(&self, py: Python<'_>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let Some(asked) = dtype else {
            return Ok(false);
        };
        let asked = PyArrayDescr::new(py, asked)?;
        let highest = self.encoder.max_token_id();
        if asked.is_equiv_to(&self::dtype::<u32>(py)) {
            Ok(false)
        } else if !asked.is_equiv_to(&self::dtype::<u16>(py)) {
            let message = format!("dtype must be uint16 or uint32, got {asked}");
            Err(PyValueError::new_err(message))
        } else if highest > u16::MAX.into() {
            let message =
                format!("uint16 holds ids up to 65535, but the highest is {highest}; use uint32");
            Err(PyValueError::new_err(message))
        } else {
            Ok(true)
        }
    }
}

fn int(py: Python<'_>, token_id: u32) -> Py<PyInt> {
    let Ok(int) = token_id.into_pyobject(py);
    int.unbind()
}

/// Calls without the GIL, if that is worth while for so many bytes of text.
fn detached<T: Send>(py: Python<'_>, bytes: usize, call: impl FnOnce() -> T + Send) -> T {
    if bytes < DETACH_BYTES {
        call()
    } else {
        py.detach(call)
    }
}

/// `num_threads`, or as many as the process may use.
fn threads(num_threads: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    let available = || thread::available_parallelism().map_or(1, usize::from);
    Ok(at_least("num_threads", 1, num_threads)?.unwrap_or_else(available))
}

/// The texts of an iterable; an error says which one is none.
fn texts(texts: &Bound<'_, PyAny>) -> PyResult<Vec<PyBackedStr>> {
    if texts.is_instance_of::<PyString>() {
        let message = "texts must be a collection of str, not one str; put it in a list";
        return Err(PyTypeError::new_err(message));
    }
    let to_text = |(number, text): (usize, PyResult<Bound<'_, PyAny>>)| {
        let text = text?;
        let Ok(text) = text.cast::<PyString>() else {
            let found = text.get_type();
            let message = format!("text {number} must be str, not {}", found.name()?);
            return Err(PyTypeError::new_err(message));
        };
        PyBackedStr::try_from(text.clone()).map_err(|error| {
            let error = explain_surrogate(text.py(), error);
            PyValueError::new_err(format!("text {number}: {}", error.value(text.py())))
        })
    };
    texts.try_iter()?.enumerate().map(to_text).collect()
}

fn int64(offsets: impl ExactSizeIterator<Item = usize>) -> Vec<i64> {
    offsets.map(|offset| offset as i64).collect() // no text in memory has 2^63 bytes
}

#[pymethods]
impl PyBpeEncoder {
    #[new]
    #[pyo3(
        signature = (vocab, merges, special_tokens=None, *, pattern=None, cache_bytes=None),
        text_signature = "(vocab, merges, special_tokens=None, *, pattern=GPT2_PATTERN, cache_bytes=None)"
    )]
    fn new(
        vocab: &Bound<'_, PyMapping>,
        merges: Vec<(PyBackedBytes, PyBackedBytes)>,
        special_tokens: Option<&Bound<'_, PyMapping>>,
        pattern: Option<Text<'_>>,
        cache_bytes: Option<&Bound<'_, PyAny>>,
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
        let pattern = pattern.map(|pattern| Pattern::new(pattern.0)).transpose()?;
        let cache_bytes = at_least("cache_bytes", 0, cache_bytes)?;
        let encoder = vocab
            .py()
            .detach(|| BpeEncoder::new(entries, &merges, &special_tokens))?
            .pattern(pattern.unwrap_or_default());
        let encoder = match cache_bytes {
            Some(cache_bytes) => encoder.cache_bytes(cache_bytes),
            None => encoder,
        };
        Ok(Self::from(encoder))
    }

    fn recognising(&self, special_tokens: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            special: self.encoder.special(&names(special_tokens)?)?,
            encoder: Arc::clone(&self.encoder),
            ints: Arc::clone(&self.ints),
            converted: LastConverted::default(),
        })
    }

    fn encode<'py>(&self, py: Python<'py>, text: LongText<'_, '_>) -> PyResult<Bound<'py, PyList>> {
        let text = text.utf8(&self.converted)?;
        let token_ids = detached(py, text.len(), || {
            self.encoder.encode_with(&text, &self.special)
        })?;
        self.list(py, &token_ids)
    }

    #[pyo3(signature = (text, *, num_threads=None, dtype=None))]
    fn encode_to_numpy<'py>(
        &self,
        py: Python<'py>,
        text: LongText<'_, '_>,
        num_threads: Option<&Bound<'py, PyAny>>,
        dtype: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let num_threads = at_least("num_threads", 1, num_threads)?.unwrap_or(1);
        let text = text.utf8(&self.converted)?;
        let (token_ids, _) = self.encode_texts(py, &[&text], num_threads, dtype)?;
        Ok(token_ids)
    }

    #[pyo3(signature = (texts, *, num_threads=None, dtype=None))]
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        num_threads: Option<&Bound<'py, PyAny>>,
        dtype: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Offsets<'py>)> {
        let num_threads = threads(num_threads)?;
        let texts = self::texts(texts)?;
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let (token_ids, ends) = self.encode_texts(py, &texts, num_threads, dtype)?;
        let mut offsets = int64(ends.into_iter());
        offsets.insert(0, 0);
        Ok((token_ids, offsets.into_pyarray(py)))
    }

    fn encode_with_offsets<'py>(
        &self,
        py: Python<'py>,
        text: LongText<'_, '_>,
    ) -> PyResult<(Bound<'py, PyArray1<u32>>, Offsets<'py>)> {
        let text = text.utf8(&self.converted)?;
        let (token_ids, ends) = detached(py, text.len(), || {
            self.encoder.encode_with_offsets(&text, &self.special)
        })?;
        let ends = int64(ends.into_iter());
        Ok((token_ids.into_pyarray(py), ends.into_pyarray(py)))
    }

    fn encode_dropout<'py>(
        &self,
        py: Python<'py>,
        text: Text<'_>,
        p: f64,
        seed: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut dropout = Dropout::new(p, integer("seed", seed)?)?;
        let token_ids = detached(py, text.0.len(), || {
            let special = &self.special;
            self.encoder.encode_dropout(text.0, special, &mut dropout)
        })?;
        self.list(py, &token_ids)
    }

    fn count(&self, py: Python<'_>, text: LongText<'_, '_>) -> PyResult<usize> {
        let text = text.utf8(&self.converted)?;
        Ok(detached(py, text.len(), || {
            self.encoder.count_with(&text, &self.special)
        })?)
    }

    #[pyo3(
        signature = (
            input_path, take, *, row_separator=None, file_separator=None,
            text_field=Text("text"), max_expanded_bytes=None, num_threads=None, first_block=None,
            spans=None
        ),
        text_signature = "($self, input_path, take, *, row_separator=None, \
            file_separator=None, text_field='text', max_expanded_bytes=None, num_threads=None, \
            first_block=0, spans=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn encode_files<'py>(
        &self,
        py: Python<'py>,
        input_path: Paths,
        take: &Bound<'py, PyAny>,
        row_separator: Option<&Bound<'py, PyAny>>,
        file_separator: Option<&Bound<'py, PyAny>>,
        text_field: Text<'_>,
        max_expanded_bytes: Option<&Bound<'py, PyAny>>,
        num_threads: Option<&Bound<'py, PyAny>>,
        first_block: Option<&Bound<'py, PyAny>>,
        spans: Option<Vec<Option<(u64, u64)>>>,
    ) -> PyResult<()> {
        let parts = parts(input_path, spans)?;
        let row_separator = at_least("row_separator", 0, row_separator)?;
        let file_separator = at_least("file_separator", 0, file_separator)?;
        let max_expanded_bytes = at_least("max_expanded_bytes", 0, max_expanded_bytes)?;
        let num_threads = at_least("num_threads", 1, num_threads)?.unwrap_or(0);
        let encoder = |first_block| {
            FilesEncoder::new(&self.encoder)
                .special(self.special.clone())
                .row_separator(row_separator)
                .file_separator(file_separator)
                .text_field(text_field.0)
                .max_expanded_bytes(max_expanded_bytes)
                .num_threads(num_threads)
                .first_block(first_block)
        };
        let files = FilesToPython {
            py,
            encoder: &encoder,
            text_field: text_field.0,
            take,
        };
        let first_block = at_least("first_block", 0, first_block)?.unwrap_or(0);
        files.encode(&parts, first_block)
    }

    fn stream(&self) -> PyEncodeStream {
        let stream = EncodeStream::new(Arc::clone(&self.encoder), self.special.clone());
        PyEncodeStream(Mutex::new(stream))
    }
}

/// `EncodeStream` for Python.
#[pyclass(frozen, name = "EncodeStream", module = "bpe_rs._core")]
pub(super) struct PyEncodeStream(Mutex<EncodeStream>);

impl PyEncodeStream {
    /// Calls the stream without the GIL: whoever waits for the lock must not hold the GIL.
    fn call<'py>(
        &self,
        py: Python<'py>,
        call: impl FnOnce(&mut EncodeStream) -> Result<Vec<u32>, PatternError> + Send,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let token_ids =
            py.detach(|| call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))?;
        Ok(token_ids.into_pyarray(py))
    }
}

#[pymethods]
impl PyEncodeStream {
    fn feed<'py>(&self, py: Python<'py>, text: Text<'_>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        self.call(py, |stream| stream.feed(text.0))
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        self.call(py, EncodeStream::finish)
    }
}
