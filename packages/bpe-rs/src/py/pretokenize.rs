//! `pretokenize`.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::arguments::{OwnedText, Text};
use crate::special::{Segment, SpecialTokens};
use crate::{Pattern, PatternError};

#[pyfunction]
#[pyo3(
    signature = (text, special_tokens=Vec::new(), *, pattern=None),
    text_signature = "(text, special_tokens=(), *, pattern=GPT2_PATTERN)"
)]
pub(super) fn pretokenize<'py>(
    py: Python<'py>,
    text: Text<'_>,
    special_tokens: Vec<OwnedText>,
    pattern: Option<Text<'_>>,
) -> PyResult<Bound<'py, PyList>> {
    let special = SpecialTokens::new(&special_tokens)?;
    let pattern = pattern.map(|pattern| Pattern::new(pattern.0)).transpose()?;
    let pretokens = py.detach(|| cut(text.0, &special, &pattern.unwrap_or_default()))?;
    PyList::new(py, pretokens)
}

fn cut<'a>(
    text: &'a str,
    special: &'a SpecialTokens,
    pattern: &Pattern,
) -> Result<Vec<&'a str>, PatternError> {
    let mut pretokens = Vec::new();
    for segment in special.split(text) {
        match segment {
            Segment::Special(index) => pretokens.push(special.tokens()[index].as_str()),
            Segment::Text(text) => pattern.ends(text, &mut |mut start, ends| {
                for &end in ends {
                    pretokens.push(&text[start..end]);
                    start = end;
                }
                Ok::<(), PatternError>(())
            })?,
        }
    }
    Ok(pretokens)
}
