//! `train_bpe`.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::arguments::{OwnedText, Paths, integer};
use crate::{Trainer, Vocabulary};

#[pyfunction]
#[pyo3(signature = (input_path, vocab_size, special_tokens, *, num_threads=None))]
pub(super) fn train_bpe<'py>(
    py: Python<'py>,
    input_path: Paths,
    vocab_size: &Bound<'py, PyAny>,
    special_tokens: Vec<OwnedText>,
    num_threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let trainer = Trainer::new(integer("vocab_size", vocab_size)?, &special_tokens)?;
    let num_threads = num_threads
        .map(|value| integer("num_threads", value))
        .transpose()?;
    if num_threads == Some(0) {
        return Err(PyValueError::new_err(
            "num_threads must be at least 1, or None for one a core",
        ));
    }
    let trainer = trainer.num_threads(num_threads.unwrap_or(0));
    let paths = match input_path {
        Paths::One(path) => vec![path],
        Paths::Many(paths) => paths,
    };
    let vocabulary = train_interruptibly(py, &trainer, &paths)?;
    vocabulary_to_python(py, &vocabulary)
}

/// Trains on another thread, while this one looks whether Ctrl-C was pressed.
fn train_interruptibly(
    py: Python<'_>,
    trainer: &Trainer,
    paths: &[PathBuf],
) -> PyResult<Vocabulary> {
    let watch = trainer.watch();
    let mut signal = Ok(());
    let trained = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, is_done) = mpsc::channel::<()>();
            let job = scope.spawn(move || {
                let _done = done; // dropped at the end, which wakes the other thread
                trainer.train_files(paths)
            });
            while is_done.recv_timeout(SIGNAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if signal.is_ok() {
                    signal = Python::attach(|py| py.check_signals());
                    if signal.is_err() {
                        watch.interrupt();
                    }
                }
            }
            job.join()
        })
    });
    signal?;
    match trained {
        Ok(vocabulary) => Ok(vocabulary?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

fn vocabulary_to_python<'py>(
    py: Python<'py>,
    vocabulary: &Vocabulary,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>)> {
    let tokens: Vec<_> = vocabulary
        .tokens
        .iter()
        .map(|bytes| PyBytes::new(py, bytes))
        .collect();
    let vocab = PyDict::new(py);
    for (id, token) in tokens.iter().enumerate() {
        vocab.set_item(id, token)?;
    }
    let token = |id: u32| &tokens[id as usize];
    let merges = vocabulary
        .merges
        .iter()
        .map(|&(left, right)| (token(left), token(right)));
    Ok((vocab, PyList::new(py, merges)?))
}
