//! `PretokenCounts`.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString};

use super::arguments::{OwnedText, Paths, Text, at_least, parts};
use super::counting::Counting;
use super::texts::count_texts;
use super::watched::watched;
use crate::{Pattern, PretokenCounts, TrainError, Watch};

/// `PretokenCounts` for Python.
#[pyclass(frozen, name = "PretokenCounts", module = "bpe_rs._core")]
pub(super) struct PyPretokenCounts {
    counting: Counting,
    counts: Mutex<PretokenCounts>,
}

impl PyPretokenCounts {
    fn new(counting: Counting, counts: PretokenCounts) -> Self {
        let counts = Mutex::new(counts);
        Self { counting, counts }
    }

    /// Counts that were read, with all that goes with them.
    fn of_files(counts: PretokenCounts) -> PyResult<Self> {
        let counting = Counting {
            special_tokens: counts.special_tokens().to_vec(),
            pattern: Some(Pattern::new(counts.pattern())?),
            ..Counting::default()
        };
        Ok(Self::new(counting, counts))
    }

    /// To be called without the GIL: another thread may hold the lock for long.
    pub(super) fn lock(&self) -> MutexGuard<'_, PretokenCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job over the counts that Ctrl-C ends.
    fn interruptibly<T: Send>(
        &self,
        py: Python<'_>,
        job: impl FnOnce(&Watch) -> Result<T, TrainError> + Send,
    ) -> PyResult<T> {
        let watch = Watch::default();
        let job = || job(&watch);
        watched(py, &watch, None, |_, _| Ok(()), job)?.complete()
    }
}

#[pymethods]
impl PyPretokenCounts {
    #[new]
    #[pyo3(
        signature = (special_tokens=Vec::new(), *, pattern=None, max_pretoken_bytes=None),
        text_signature = "(special_tokens=(), *, pattern=GPT2_PATTERN, max_pretoken_bytes=None)"
    )]
    fn empty(
        special_tokens: Vec<OwnedText>,
        pattern: Option<Text<'_>>,
        max_pretoken_bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let counting = Counting::new(special_tokens, pattern, max_pretoken_bytes)?;
        let counts = counting.counter()?.count_texts::<&str>(&[])?;
        Ok(Self::new(counting, counts))
    }

    #[staticmethod]
    #[pyo3(
        signature = (
            input_path, special_tokens=Vec::new(), *, pattern=None, max_pretoken_bytes=None,
            text_field=None, max_expanded_bytes=None, max_memory_bytes=None, num_threads=None,
            progress=None, spans=None
        ),
        text_signature = "(input_path, special_tokens=(), *, pattern=GPT2_PATTERN, \
            max_pretoken_bytes=None, text_field='text', max_expanded_bytes=None, \
            max_memory_bytes=None, num_threads=None, progress=None, spans=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn count(
        py: Python<'_>,
        input_path: Paths,
        special_tokens: Vec<OwnedText>,
        pattern: Option<Text<'_>>,
        max_pretoken_bytes: Option<&Bound<'_, PyAny>>,
        text_field: Option<Text<'_>>,
        max_expanded_bytes: Option<&Bound<'_, PyAny>>,
        max_memory_bytes: Option<&Bound<'_, PyAny>>,
        num_threads: Option<&Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
        spans: Option<Vec<Option<(u64, u64)>>>,
    ) -> PyResult<Self> {
        let parts = parts(input_path, spans)?;
        let counting = Counting::new(special_tokens, pattern, max_pretoken_bytes)?.reading(
            text_field,
            max_expanded_bytes,
            max_memory_bytes,
            num_threads,
        )?;
        let counter = counting.counter()?;
        let counts = counting.count_files(py, &counter, parts, progress.as_ref())?;
        Ok(Self::new(counting, counts))
    }

    #[pyo3(signature = (texts, *, num_threads=None, progress=None))]
    fn update(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        num_threads: Option<&Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let counting = self.counting.clone().on(num_threads)?;
        let counter = counting.counter()?;
        let is_one = texts.is_instance_of::<PyString>() || texts.is_instance_of::<PyBytes>();
        let more = count_texts(py, &counter, progress, |feed| match is_one {
            true => feed.push(texts),
            false => feed.extend(texts),
        })?;
        py.detach(|| self.lock().merge(more))?;
        counting.warn_of_cuts(py, &counter)
    }

    fn merge(&self, py: Python<'_>, other: &Bound<'_, Self>) -> PyResult<()> {
        let other = other.get();
        self.interruptibly(py, |watch| {
            let other = other.lock().clone(); // first, for it may be these counts themselves
            watch.check()?;
            self.lock().merge(other)
        })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.interruptibly(py, |watch| self.lock().save_watched(&path, watch))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let watch = Watch::default();
        let job = || PretokenCounts::load_watched(&path, &watch);
        Self::of_files(watched(py, &watch, None, |_, _| Ok(()), job)?.complete()?)
    }

    #[staticmethod]
    fn open(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Self> {
        Self::of_files(py.detach(|| PretokenCounts::open(&paths))?)
    }

    #[staticmethod]
    #[pyo3(signature = (paths, output_path, *, min_count=None), text_signature = "(paths, output_path, *, min_count=1)")]
    fn merge_files(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        output_path: PathBuf,
        min_count: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let min_count = at_least("min_count", 1, min_count)?.unwrap_or(1);
        let watch = Watch::default();
        let job = || PretokenCounts::merge_files_watched(&paths, &output_path, min_count, &watch);
        watched(py, &watch, None, |_, _| Ok(()), job)?.complete()
    }

    #[getter]
    fn special_tokens(&self) -> Vec<String> {
        self.counting.special_tokens.clone()
    }

    #[getter]
    fn pattern(&self, py: Python<'_>) -> String {
        py.detach(|| self.lock().pattern().to_owned())
    }

    #[getter]
    fn total(&self, py: Python<'_>) -> u128 {
        py.detach(|| self.lock().total())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let length = self.interruptibly(py, |_| self.lock().len())?;
        Ok(usize::try_from(length)?)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let entries = self.interruptibly(py, |watch| entries(&self.lock(), watch))?;
        let entries = entries
            .iter()
            .map(|(pretoken, count)| (PyBytes::new(py, pretoken), count));
        PyList::new(py, entries)?.try_iter()
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else {
            return Ok(false);
        };
        let other = other.get();
        self.interruptibly(py, |_| {
            let other = other.lock().clone();
            self.lock().is_equal(&other)
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (distinct, total) = (self.__len__(py)?, self.total(py));
        Ok(format!(
            "<PretokenCounts: {total} pretokens, {distinct} distinct>"
        ))
    }
}

/// All entries in order.
fn entries(counts: &PretokenCounts, watch: &Watch) -> Result<Vec<(Vec<u8>, u64)>, TrainError> {
    let mut sorted = counts.entries()?;
    let mut entries = Vec::new();
    while let Some((pretoken, count)) = sorted.next_entry()? {
        watch.check()?;
        entries.push((pretoken.to_vec(), count));
    }
    Ok(entries)
}
