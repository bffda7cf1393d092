//! How texts are read and cut, as Python says it.

use std::ffi::CString;

use pyo3::exceptions::{PyUserWarning, PyValueError};
use pyo3::prelude::*;

use super::arguments::{OwnedText, Text, at_least, owned};
use super::files::{check_whole, is_table};
use super::texts::count_texts;
use super::watched::watched;
use crate::{Counter, FilePart, Pattern, PretokenCounts};

/// The options of counting; None where nothing was said.
#[derive(Clone, Default)]
pub(super) struct Counting {
    pub(super) special_tokens: Vec<String>,
    pub(super) pattern: Option<Pattern>,
    pub(super) max_pretoken_bytes: Option<usize>,
    pub(super) text_field: Option<String>,
    pub(super) max_expanded_bytes: Option<u64>,
    pub(super) max_memory_bytes: Option<usize>,
    pub(super) num_threads: Option<usize>,
}

impl Counting {
    /// How texts are cut.
    pub(super) fn new(
        special_tokens: Vec<OwnedText>,
        pattern: Option<Text<'_>>,
        max_pretoken_bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            special_tokens: owned(special_tokens),
            pattern: pattern.map(|pattern| Pattern::new(pattern.0)).transpose()?,
            max_pretoken_bytes: at_least("max_pretoken_bytes", 4, max_pretoken_bytes)?,
            ..Self::default()
        })
    }

    /// And how files are read.
    pub(super) fn reading(
        self,
        text_field: Option<Text<'_>>,
        max_expanded_bytes: Option<&Bound<'_, PyAny>>,
        max_memory_bytes: Option<&Bound<'_, PyAny>>,
        num_threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            text_field: text_field.map(|field| field.0.to_owned()),
            max_expanded_bytes: at_least("max_expanded_bytes", 0, max_expanded_bytes)?,
            max_memory_bytes: at_least("max_memory_bytes", 0, max_memory_bytes)?,
            ..self.on(num_threads)?
        })
    }

    /// And on how many threads.
    pub(super) fn on(self, num_threads: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let num_threads = at_least("num_threads", 1, num_threads)?;
        Ok(Self {
            num_threads,
            ..self
        })
    }

    /// A counter with these options.
    pub(super) fn counter(&self) -> PyResult<Counter> {
        let counter = Counter::new(&self.special_tokens)?
            .pattern(self.pattern.clone().unwrap_or_default())
            .max_pretoken_bytes(self.max_pretoken_bytes)
            .max_expanded_bytes(self.max_expanded_bytes)
            .max_memory_bytes(self.max_memory_bytes, None)
            .num_threads(self.num_threads.unwrap_or(0));
        Ok(match &self.text_field {
            Some(text_field) => counter.text_field(text_field),
            None => counter,
        })
    }

    /// Counts files: those that Rust reads, then those that pyarrow does.
    pub(super) fn count_files(
        &self,
        py: Python<'_>,
        counter: &Counter,
        parts: Vec<FilePart>,
        progress: Option<&Py<PyAny>>,
    ) -> PyResult<PretokenCounts> {
        let progress = || progress.map(|progress| progress.clone_ref(py));
        let (tables, files): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_table);
        check_whole(&tables)?;
        let watch = counter.watch();
        let job = || counter.count_parts(&files);
        let mut counts = watched(py, &watch, progress(), |_, _| Ok(()), job)?.complete()?;
        if !tables.is_empty() {
            let field = self.text_field.as_deref().unwrap_or("text");
            let read_texts = py.import("bpe_rs._parquet")?.getattr("read_texts")?;
            let more = count_texts(py, counter, progress(), |feed| {
                tables.iter().try_for_each(|table| {
                    let batches = read_texts.call1((&table.path, field))?.try_iter()?;
                    batches
                        .into_iter()
                        .try_for_each(|texts| feed.extend(&texts?))
                })
            })?;
            py.detach(|| counts.merge(more))?;
        }
        self.warn_of_cuts(py, counter)?;
        Ok(counts)
    }

    /// Says how many pretokens `counter` has cut to pieces.
    pub(super) fn warn_of_cuts(&self, py: Python<'_>, counter: &Counter) -> PyResult<()> {
        let cut = counter.cut_pretokens();
        let Some(limit) = self.max_pretoken_bytes.filter(|_| cut > 0) else {
            return Ok(());
        };
        let message = match cut {
            1 => format!("1 pretoken was longer than {limit} bytes and was cut"),
            _ => format!("{cut} pretokens were longer than {limit} bytes and were cut"),
        };
        let category = py.get_type::<PyUserWarning>();
        PyErr::warn(py, &category, &CString::new(message)?, 1)
    }

    /// Refuses what only counting could still obey.
    pub(super) fn check_done(&self) -> PyResult<()> {
        let given = [
            ("pattern", self.pattern.is_some()),
            ("max_pretoken_bytes", self.max_pretoken_bytes.is_some()),
            ("text_field", self.text_field.is_some()),
            ("max_expanded_bytes", self.max_expanded_bytes.is_some()),
            ("max_memory_bytes", self.max_memory_bytes.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((name, _)) => Err(PyValueError::new_err(format!(
                "{name} is an option of counting, and these counts are counted; leave it out, or \
                 give it to PretokenCounts.count"
            ))),
        }
    }
}
