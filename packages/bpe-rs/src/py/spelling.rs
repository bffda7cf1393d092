//! Spelled tokens and merges to bytes: a vocabulary of 50,000 is read in milliseconds.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::arguments::Text;
use crate::spelling;

type Merge<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyfunction]
pub(super) fn unspell<'py>(spellings: &Bound<'py, PyList>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let read = |spelling: Bound<'py, PyAny>| {
        let spelling: Text<'_> = spelling.extract()?;
        token(spellings.py(), spelling.0)
    };
    spellings.iter().map(read).collect()
}

#[pyfunction]
#[pyo3(signature = (merges, *, name="merge", first=0))]
pub(super) fn unspell_merges<'py>(
    merges: &Bound<'py, PyList>,
    name: &str,
    first: usize,
) -> PyResult<Vec<Merge<'py>>> {
    let mut read = Vec::with_capacity(merges.len());
    for (number, written) in (first..).zip(merges) {
        let merge = match written.extract::<Text<'_>>() {
            Ok(Text("")) => continue,
            Ok(Text(line)) => one_line(written.py(), line),
            Err(_) => two_strings(&written),
        };
        let merge = merge.map_err(|error| {
            let reason = error.value(written.py());
            PyValueError::new_err(format!("{name} {number}: {reason}"))
        });
        read.push(merge?);
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
