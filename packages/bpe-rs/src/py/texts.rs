//! Texts that Python makes, counted as they come.

use std::borrow::Cow;
use std::mem;
use std::sync::mpsc::{SyncSender, sync_channel};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::arguments::explain_surrogate;
use super::watched::{Attendant, watched};
use crate::input::Text;
use crate::{Counter, PretokenCounts};

type Batch = Vec<Text<'static>>;

/// A batch is worth waking a thread for.
const BATCH_BYTES: usize = 256 << 10;
/// Texts without a byte are a batch too.
const BATCH_TEXTS: usize = 4096;
/// Batches that may wait for a thread: some megabytes, and no thread waits for Python.
const WAITING: usize = 8;

/// Counts the texts that `make` hands over: it runs on this thread with the GIL, while others count.
pub(super) fn count_texts(
    py: Python<'_>,
    counter: &Counter,
    progress: Option<Py<PyAny>>,
    make: impl FnOnce(&mut Feed<'_, '_>) -> PyResult<()>,
) -> PyResult<PretokenCounts> {
    let (sender, receiver) = sync_channel(WAITING);
    let watch = counter.watch();
    let feed = |py: Python<'_>, attendant: &mut Attendant<'_>| {
        let mut feed = Feed::new(py, sender, attendant);
        make(&mut feed)?;
        feed.send()
    };
    let job = || counter.count_batches(receiver.into_iter());
    watched(py, &watch, progress, feed, job)?.complete()
}

/// Takes texts from Python and sends them to the threads that count, many at a time.
pub(super) struct Feed<'f, 'a> {
    py: Python<'f>,
    sender: SyncSender<Batch>,
    attendant: &'f mut Attendant<'a>,
    batch: Batch,
    bytes: usize,
    sent: usize,
}

impl<'f, 'a> Feed<'f, 'a> {
    fn new(py: Python<'f>, sender: SyncSender<Batch>, attendant: &'f mut Attendant<'a>) -> Self {
        Self {
            py,
            sender,
            attendant,
            batch: Batch::new(),
            bytes: 0,
            sent: 0,
        }
    }

    /// Takes all texts of an iterable.
    pub(super) fn extend(&mut self, texts: &Bound<'_, PyAny>) -> PyResult<()> {
        texts.try_iter()?.try_for_each(|text| self.push(&text?))
    }

    /// Takes one.
    pub(super) fn push(&mut self, text: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = self.owned(text)?;
        self.bytes += match &text {
            Text::Str(text) => text.len(),
            Text::Bytes(bytes) => bytes.len(),
        };
        self.batch.push(text);
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_TEXTS {
            self.send()?;
        }
        Ok(())
    }

    fn owned(&self, text: &Bound<'_, PyAny>) -> PyResult<Text<'static>> {
        let number = self.sent + self.batch.len();
        if let Ok(text) = text.cast::<PyString>() {
            let text = text.to_str().map_err(|error| {
                let error = explain_surrogate(self.py, error);
                PyValueError::new_err(format!("text {number}: {}", error.value(self.py)))
            })?;
            return Ok(Text::Str(Cow::Owned(text.to_owned())));
        }
        match text.cast::<PyBytes>() {
            Ok(bytes) => Ok(Text::Bytes(Cow::Owned(bytes.as_bytes().to_vec()))),
            Err(_) => Err(PyTypeError::new_err(format!(
                "text {number} must be str or bytes, not {}",
                text.get_type().name()?
            ))),
        }
    }

    /// Hands over what was taken. Where the counting has ended, so does the feeding: the error is
    /// the counting's.
    fn send(&mut self) -> PyResult<()> {
        self.attendant.attend(self.py)?;
        self.sent += self.batch.len();
        self.bytes = 0;
        let batch = mem::take(&mut self.batch);
        let sender = &self.sender;
        self.py
            .detach(|| sender.send(batch))
            .map_err(|_| PyValueError::new_err("the counting has ended"))
    }
}
