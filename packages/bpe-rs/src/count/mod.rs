//! How often each pretoken occurs: all that training needs to know of a corpus.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "PretokenCounts is to be built on it")
)]
pub(crate) mod table;

use hashbrown::HashMap;

use crate::error::TrainError;
use crate::pretokenize::pretokenize;
use crate::special::{Segment, SpecialTokens};

/// Pretokens and their counts. Sums of integers: neither order nor grouping changes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PretokenCounts(HashMap<Box<[u8]>, u64>);

impl PretokenCounts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.0.iter().map(|(pretoken, &count)| (&**pretoken, count))
    }

    /// Counts the pretokens of one text.
    pub(crate) fn update(&mut self, text: &str, special: &SpecialTokens) -> Result<(), TrainError> {
        for segment in special.split(text) {
            if let Segment::Text(text) = segment {
                pretokenize(text).try_for_each(|pretoken| self.add(pretoken.as_bytes(), 1))?;
            }
        }
        Ok(())
    }

    /// The sum of both.
    pub(crate) fn merge(self, other: Self) -> Result<Self, TrainError> {
        let (mut large, small) = if self.0.len() < other.0.len() {
            (other, self)
        } else {
            (self, other)
        };
        for (pretoken, count) in small.0 {
            large.add(&pretoken, count)?;
        }
        Ok(large)
    }

    #[inline]
    pub(crate) fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), TrainError> {
        if let Some(sum) = self.0.get_mut(pretoken) {
            *sum = sum.checked_add(count).ok_or(TrainError::CountOverflow)?;
        } else {
            self.0.insert(pretoken.into(), count);
        }
        Ok(())
    }
}
