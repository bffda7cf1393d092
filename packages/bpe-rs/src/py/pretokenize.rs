//! `pretokenize`.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::arguments::{OwnedText, Text};
use crate::special::{Segment, SpecialTokens};

#[pyfunction]
#[pyo3(signature = (text, special_tokens=Vec::new()), text_signature = "(text, special_tokens=())")]
pub(super) fn pretokenize<'py>(
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
