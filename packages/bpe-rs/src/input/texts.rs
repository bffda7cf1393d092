//! Texts in memory, or made as they are asked for.

use std::borrow::Cow;
use std::iter;
use std::sync::{Mutex, PoisonError};

use crate::error::TrainError;

/// A text that is not in a file.
pub(crate) enum Text<'a> {
    Str(Cow<'a, str>),
    /// To be checked: it must be UTF-8.
    #[cfg_attr(
        not(any(test, feature = "python")),
        expect(dead_code, reason = "Python gives bytes")
    )]
    Bytes(Cow<'a, [u8]>),
}

impl Text<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Str(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Texts that one thread took together.
#[derive(Default)]
pub(super) struct Batch<'a> {
    pub(super) texts: Vec<Text<'a>>,
    /// The place of the first of them among all.
    pub(super) first: u64,
    /// Its own place among all batches.
    pub(super) index: u64,
}

type Batches<'a> = Box<dyn Iterator<Item = Result<Vec<Text<'a>>, TrainError>> + Send + 'a>;

/// Batches of texts, taken by one thread at a time.
pub(super) struct Texts<'a>(Mutex<Turn<'a>>);

struct Turn<'a> {
    /// None when it has ended or failed: it is not asked again.
    batches: Option<Batches<'a>>,
    /// Texts and batches given out.
    count: u64,
    num_batches: u64,
}

impl<'a> Texts<'a> {
    pub(super) fn new(
        batches: impl Iterator<Item = Result<Vec<Text<'a>>, TrainError>> + Send + 'a,
    ) -> Self {
        Self(Mutex::new(Turn {
            batches: Some(Box::new(batches)),
            count: 0,
            num_batches: 0,
        }))
    }

    /// Takes the next batch in place of `batch`; false at the end.
    pub(super) fn next(&self, batch: &mut Batch<'a>) -> Result<bool, TrainError> {
        batch.texts.clear();
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Out of the turn while it is asked: one that fails or panics is not asked again.
        let Some(mut batches) = turn.batches.take() else {
            return Ok(false);
        };
        let Some(texts) = batches.next().transpose()? else {
            return Ok(false);
        };
        turn.batches = Some(batches);
        batch.first = turn.count;
        turn.count += texts.len() as u64;
        batch.index = turn.num_batches;
        turn.num_batches += 1;
        batch.texts = texts;
        Ok(true)
    }
}

/// A batch is a short time's work, and much more than taking it.
const BATCH_BYTES: usize = 64 << 10;

/// Texts at hand, in batches.
pub(crate) fn batches_of<'a, S: AsRef<str>>(
    texts: &'a [S],
) -> impl Iterator<Item = Result<Vec<Text<'a>>, TrainError>> {
    let mut texts = texts.iter().map(AsRef::as_ref);
    iter::from_fn(move || {
        let mut bytes = 0;
        let mut take_one = || {
            let text: &'a str = (bytes < BATCH_BYTES).then(|| texts.next())??;
            bytes += text.len();
            Some(Text::Str(Cow::Borrowed(text)))
        };
        let batch: Vec<_> = iter::from_fn(&mut take_one).collect();
        (!batch.is_empty()).then_some(Ok(batch))
    })
}
