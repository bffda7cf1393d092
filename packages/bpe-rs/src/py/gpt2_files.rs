//! `ReadVocabulary`: what GPT-2's two files hold, as an encoder, and as Python's objects when asked for.

use hashbrown::{HashMap, HashSet};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::arguments::names;
use super::encode::PyBpeEncoder;
use crate::BpeEncoder;
use crate::gpt2_files::Gpt2Files;

/// `ReadVocabulary` for Python.
#[pyclass(frozen, name = "ReadVocabulary", module = "bpe_rs._core")]
pub(super) struct PyReadVocabulary {
    files: Gpt2Files,
    #[pyo3(get)]
    encoder: Py<PyBpeEncoder>,
    special_tokens: Vec<(String, u32)>,
}

#[pyfunction]
pub(super) fn read_gpt2_files(
    py: Python<'_>,
    vocab: &[u8],
    merges: &[u8],
    special_tokens: &Bound<'_, PyAny>,
) -> PyResult<Option<PyReadVocabulary>> {
    let special = names(special_tokens)?;
    let special: Vec<&str> = special.iter().map(AsRef::as_ref).collect();
    let Some((files, special_tokens, encoder)) = py.detach(|| read(vocab, merges, &special)) else {
        return Ok(None);
    };
    Ok(Some(PyReadVocabulary {
        files,
        encoder: Py::new(py, PyBpeEncoder::from(encoder))?,
        special_tokens,
    }))
}

type Read = (Gpt2Files, Vec<(String, u32)>, BpeEncoder);

/// `None` where the slower way has something to say.
fn read(vocab: &[u8], merges: &[u8], special: &[&str]) -> Option<Read> {
    let mut files = Gpt2Files::read(vocab, merges, special)?;
    let names: HashSet<&[u8]> = special.iter().map(|name| name.as_bytes()).collect();
    let is_special = |token: &(u32, &[u8])| names.contains(token.1);
    let known: HashMap<Vec<u8>, u32> = files
        .tokens()
        .filter(is_special)
        .map(|(id, token)| (token.to_vec(), id))
        .collect();
    let mut special_tokens = Vec::with_capacity(special.len());
    for &name in special {
        let id = match known.get(name.as_bytes()) {
            Some(&id) => id,
            None => files.append(name.as_bytes())?,
        };
        special_tokens.push((name.to_owned(), id));
    }
    let tokens = files.tokens().map(|(id, token)| (id, token.to_vec()));
    let merges: Vec<_> = files.merges().collect();
    let encoder = BpeEncoder::new(tokens, &merges, &special_tokens).ok()?;
    Some((files, special_tokens, encoder))
}

#[pymethods]
impl PyReadVocabulary {
    /// Ids and tokens as a dict, made anew each time.
    fn tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tokens = PyDict::new(py);
        for (id, token) in self.files.tokens() {
            tokens.set_item(id, PyBytes::new(py, token))?;
        }
        Ok(tokens)
    }

    /// Left and right of each merge, made anew each time.
    fn merges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let merge = |(left, right)| (PyBytes::new(py, left), PyBytes::new(py, right));
        PyList::new(py, self.files.merges().map(merge))
    }

    #[getter]
    fn special_tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let special_tokens = PyDict::new(py);
        for (name, id) in &self.special_tokens {
            special_tokens.set_item(name, id)?;
        }
        Ok(special_tokens)
    }

    #[getter]
    fn max_token_id(&self) -> u32 {
        self.files.tokens().map(|token| token.0).max().unwrap_or(0)
    }
}
