//! `last_merges`.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

type Parts<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyfunction]
pub(super) fn last_merges(
    py: Python<'_>,
    tokens: Vec<PyBackedBytes>,
) -> PyResult<Vec<Option<Parts<'_>>>> {
    let left_bytes = py.detach(|| crate::last_merges(&tokens))?;
    let parts = |(token, left): (&PyBackedBytes, Option<usize>)| {
        let (left, right) = token.split_at_checked(left?)?;
        Some((PyBytes::new(py, left), PyBytes::new(py, right)))
    };
    Ok(tokens.iter().zip(left_bytes).map(parts).collect())
}
