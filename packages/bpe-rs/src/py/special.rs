//! `SpecialTokens`.

use pyo3::prelude::*;

use super::arguments::{Text, names};
use crate::special::SpecialTokens;

/// `SpecialTokens` for Python.
#[pyclass(frozen, name = "SpecialTokens", module = "bpe_rs._core")]
pub(super) struct PySpecialTokens(SpecialTokens);

#[pymethods]
impl PySpecialTokens {
    #[new]
    fn new(special_tokens: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(SpecialTokens::new(&names(special_tokens)?)?))
    }

    fn find(&self, text: Text<'_>) -> Option<(&str, usize)> {
        let (index, start, _) = self.0.find(text.0, 0)?;
        let before = text.0.get(..start).unwrap_or_default();
        Some((self.0.tokens().get(index)?, before.chars().count()))
    }

    fn split<'a>(&self, text: Text<'a>) -> Vec<&'a str> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while let Some((_, start, end)) = self.0.find(text.0, at) {
            pieces.extend([&text.0[at..start], &text.0[start..end]]);
            at = end;
        }
        pieces.push(&text.0[at..]);
        pieces
    }
}
