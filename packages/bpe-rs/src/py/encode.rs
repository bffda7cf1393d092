//! `BpeEncoder` and `EncodeStream`.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyMapping;

use super::arguments::{Text, integer, names, special_ids};
use crate::{BpeEncoder, EncodeStream};

/// `BpeEncoder` for Python.
#[pyclass(frozen, name = "BpeEncoder", module = "bpe_rs._core")]
pub(super) struct PyBpeEncoder(Arc<BpeEncoder>);

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
pub(super) struct PyEncodeStream(Mutex<EncodeStream>);

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
