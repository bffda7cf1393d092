//! Stand-in for the fast table: the same interface over hashbrown, to be replaced by it.

use hashbrown::HashMap;

use crate::error::TrainError;

/// Pretokens and their counts, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct PretokenTable {
    counts: HashMap<Box<[u8]>, u64>,
    bytes: usize,
}

impl PretokenTable {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes + self.counts.allocation_size()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts
            .iter()
            .map(|(pretoken, &count)| (&**pretoken, count))
    }

    pub(crate) fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), TrainError> {
        if let Some(sum) = self.counts.get_mut(pretoken) {
            *sum = sum.checked_add(count).ok_or(TrainError::CountOverflow)?;
        } else {
            self.counts.insert(pretoken.into(), count);
            self.bytes += pretoken.len();
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: Self) -> Result<(), TrainError> {
        other
            .iter()
            .try_for_each(|(pretoken, count)| self.add(pretoken, count))
    }
}
