//! The pretokens that are too long for a slot: one after the other, known by number.

/// The bytes of long pretokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongPretokens {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl LongPretokens {
    /// Keeps a pretoken and returns its number.
    pub(crate) fn push(&mut self, pretoken: &[u8]) -> u64 {
        let number = self.ends.len();
        self.bytes.extend_from_slice(pretoken);
        self.ends.push(self.bytes.len());
        number as u64
    }

    /// The pretoken that [`LongPretokens::push`] gave this number.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        let number = number as usize; // it was one
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}
