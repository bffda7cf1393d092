//! Spelled tokens and merges to bytes: a vocabulary of 50,000 is read in milliseconds.

use std::collections::HashSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString};

use super::arguments::{Text, names};
use crate::spelling;

type Merge<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyfunction]
#[pyo3(signature = (spellings, special_tokens=None))]
pub(super) fn unspell_vocab<'py>(
    spellings: &Bound<'py, PyDict>,
    special_tokens: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = spellings.py();
    let special = special_tokens.map(names).transpose()?.unwrap_or_default();
    let special: HashSet<&str> = special.iter().map(AsRef::as_ref).collect();
    let tokens = PyDict::new(py);
    for (spelling, token_id) in spellings {
        check_id(&spelling, &token_id)?;
        let text: Text<'_> = spelling.extract()?;
        let token = if special.contains(text.0) {
            PyBytes::new(py, text.0.as_bytes())
        } else {
            token(py, text.0)?
        };
        // Two spellings may share an id if they mean the same bytes.
        if let Some(before) = tokens.get_item(&token_id)?
            && before.ne(&token)?
        {
            return Err(PyValueError::new_err(format!(
                "token id {token_id} is used twice, once by {}",
                spelling.repr()?
            )));
        }
        tokens.set_item(token_id, token)?;
    }
    Ok(tokens)
}

/// Fails unless `token_id` is one. A bool is an int to Python, but not to the file's author.
fn check_id(spelling: &Bound<'_, PyAny>, token_id: &Bound<'_, PyAny>) -> PyResult<()> {
    if token_id.is_exact_instance_of::<PyInt>() && token_id.extract::<u32>().is_ok() {
        return Ok(());
    }
    let came: String = token_id
        .repr()?
        .to_string_lossy()
        .chars()
        .take(80)
        .collect();
    Err(PyValueError::new_err(format!(
        "the id of token {} must be an integer from 0 to {}, got {came}",
        spelling.repr()?,
        u32::MAX
    )))
}

#[pyfunction]
#[pyo3(signature = (merges, *, name="merge", first=0))]
pub(super) fn unspell_merges<'py>(
    merges: &Bound<'py, PyAny>,
    name: &str,
    first: usize,
) -> PyResult<Vec<Merge<'py>>> {
    let py = merges.py();
    let numbered = |number: usize, merge: PyResult<Merge<'py>>| {
        merge
            .map_err(|error| PyValueError::new_err(format!("{name} {number}: {}", error.value(py))))
    };
    if merges.is_instance_of::<PyString>() {
        let text: Text<'_> = merges.extract()?;
        let lines = (first..).zip(text.0.lines());
        let lines = lines.filter(|(_, line)| !line.is_empty());
        return lines
            .map(|(number, line)| numbered(number, one_line(py, line)))
            .collect();
    }
    let merges = merges.cast::<PyList>()?;
    let mut read = Vec::with_capacity(merges.len());
    for (number, written) in (first..).zip(merges) {
        let merge = match written.extract::<Text<'_>>() {
            Ok(Text("")) => continue,
            Ok(Text(line)) => one_line(py, line),
            Err(_) => two_strings(&written),
        };
        read.push(numbered(number, merge)?);
    }
    Ok(read)
}

/// A merge written as "Ġt he".
fn one_line<'py>(py: Python<'py>, line: &str) -> PyResult<Merge<'py>> {
    match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((token(py, left)?, token(py, right)?))
        }
        _ => Err(PyValueError::new_err(format!(
            "must hold two tokens and one space between, got {line:?}"
        ))),
    }
}

/// A merge written as a list of its two tokens.
fn two_strings<'py>(written: &Bound<'py, PyAny>) -> PyResult<Merge<'py>> {
    let read = |at| token(written.py(), written.get_item(at)?.extract::<Text<'_>>()?.0);
    match written.cast::<PyList>() {
        Ok(pair)
            if pair.len() == 2 && pair.iter().all(|part| part.is_instance_of::<PyString>()) =>
        {
            Ok((read(0)?, read(1)?))
        }
        _ => Err(PyValueError::new_err(format!(
            "must be two tokens, got {written:?}"
        ))),
    }
}

fn token<'py>(py: Python<'py>, spelling: &str) -> PyResult<Bound<'py, PyBytes>> {
    match spelling::unspell(spelling) {
        Ok(token) => Ok(PyBytes::new(py, &token)),
        Err(character) => Err(PyValueError::new_err(format!(
            "token {spelling:?} holds {character:?}, which stands for no byte in GPT-2's byte \
             alphabet; only a special token is written as it is, and this is not among them"
        ))),
    }
}
