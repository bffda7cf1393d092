//! `train_bpe`.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::arguments::{OwnedText, Paths, Text, at_least, choice, integer, parts};
use super::counting::Counting;
use super::counts::PyPretokenCounts;
use super::watched::{Outcome, watched};
use crate::{TieBreak, TrainError, Trainer, Vocabulary};

/// What to learn from.
#[derive(FromPyObject)]
pub(super) enum Source<'py> {
    Counts(Bound<'py, PyPretokenCounts>),
    Paths(Paths),
}

#[pyfunction]
#[pyo3(signature = (
    input_path, vocab_size, special_tokens, *, tie_break=Text("bytes"), min_frequency=None,
    min_count=None, max_token_bytes=None, initial_alphabet=None, initial_merges=Vec::new(),
    pattern=None, max_pretoken_bytes=None, text_field=None, max_expanded_bytes=None,
    max_memory_bytes=None, num_threads=None, progress=None, on_interrupt=Text("raise")
), text_signature = "(input_path, vocab_size, special_tokens, *, tie_break='bytes', \
    min_frequency=1, min_count=1, max_token_bytes=None, initial_alphabet=None, \
    initial_merges=(), pattern=None, max_pretoken_bytes=None, text_field=None, \
    max_expanded_bytes=None, max_memory_bytes=None, num_threads=None, progress=None, \
    on_interrupt='raise')")]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(super) fn train_bpe<'py>(
    py: Python<'py>,
    input_path: Source<'py>,
    vocab_size: &Bound<'py, PyAny>,
    special_tokens: Vec<OwnedText>,
    tie_break: Text<'_>,
    min_frequency: Option<&Bound<'py, PyAny>>,
    min_count: Option<&Bound<'py, PyAny>>,
    max_token_bytes: Option<&Bound<'py, PyAny>>,
    initial_alphabet: Option<PyBackedBytes>,
    initial_merges: Vec<(PyBackedBytes, PyBackedBytes)>,
    pattern: Option<Text<'_>>,
    max_pretoken_bytes: Option<&Bound<'py, PyAny>>,
    text_field: Option<Text<'_>>,
    max_expanded_bytes: Option<&Bound<'py, PyAny>>,
    max_memory_bytes: Option<&Bound<'py, PyAny>>,
    num_threads: Option<&Bound<'py, PyAny>>,
    progress: Option<Py<PyAny>>,
    on_interrupt: Text<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let counting = Counting::new(special_tokens, pattern, max_pretoken_bytes)?.reading(
        text_field,
        max_expanded_bytes,
        max_memory_bytes,
        num_threads,
    )?;
    let returns = choice(
        "on_interrupt",
        on_interrupt.0,
        [("raise", false), ("return", true)],
    )?;
    let rules = [
        ("bytes", TieBreak::Bytes),
        ("huggingface", TieBreak::HuggingFace),
    ];
    let both = |(left, right): &(PyBackedBytes, PyBackedBytes)| (left.to_vec(), right.to_vec());
    let mut trainer =
        Trainer::with_counter(integer("vocab_size", vocab_size)?, counting.counter()?)
            .tie_break(choice("tie_break", tie_break.0, rules)?)
            .min_frequency(at_least("min_frequency", 0, min_frequency)?.unwrap_or(1))
            .min_count(at_least("min_count", 0, min_count)?.unwrap_or(1))
            .max_token_bytes(at_least("max_token_bytes", 1, max_token_bytes)?)
            .initial_merges(initial_merges.iter().map(both).collect())
            .keep_partial(returns);
    if let Some(alphabet) = initial_alphabet {
        trainer = trainer.initial_alphabet(&alphabet);
    }
    trainer.check()?;
    let trained = match input_path {
        Source::Counts(counts) => {
            counting.check_done()?;
            let counts = counts.get();
            train(py, &trainer, progress, || trainer.train(&*counts.lock()))?
        }
        Source::Paths(paths) => {
            let parts = parts(paths, None)?;
            let counts = counting.count_files(py, trainer.counter(), parts, progress.as_ref())?;
            train(py, &trainer, progress, || trainer.train(counts))?
        }
    };
    vocabulary_to_python(py, &complete(py, trained, returns)?)
}

type Trained = Outcome<Result<Vocabulary, TrainError>>;

fn train(
    py: Python<'_>,
    trainer: &Trainer,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce() -> Result<Vocabulary, TrainError> + Send,
) -> PyResult<Trained> {
    watched(py, &trainer.watch(), progress, |_, _| Ok(()), job)
}

/// What was learned, if it was all or part of it is wanted.
fn complete(py: Python<'_>, trained: Trained, returns: bool) -> PyResult<Vocabulary> {
    match trained {
        Outcome {
            value: Ok(partial),
            stopped_by: Some(error),
        } if returns && error.is_instance_of::<PyKeyboardInterrupt>(py) => Ok(partial),
        trained => trained.complete(),
    }
}

fn vocabulary_to_python<'py>(
    py: Python<'py>,
    vocabulary: &Vocabulary,
) -> PyResult<Bound<'py, PyAny>> {
    let tokens = vocabulary.tokens.iter();
    let tokens: Vec<_> = tokens.map(|bytes| PyBytes::new(py, bytes)).collect();
    let vocab = PyDict::new(py);
    for (id, token) in tokens.iter().enumerate() {
        vocab.set_item(id, token)?;
    }
    let token = |id: u32| &tokens[id as usize];
    let merges = vocabulary
        .merges
        .iter()
        .map(|&(left, right)| (token(left), token(right)));
    let merges = PyList::new(py, merges)?;
    let class = py.import("bpe_rs._vocabulary")?.getattr("Vocabulary")?;
    class.call1((vocab, merges))
}
