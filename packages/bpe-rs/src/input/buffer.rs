//! A thread's memory for what it reads: filled again and again, without asking the system anew.

/// Bytes of which the first `filled` hold something.
#[derive(Default)]
pub(super) struct Buffer {
    /// Written over, never shortened: only memory that is new must be zeroed.
    bytes: Vec<u8>,
    filled: usize,
}

/// A block that could not be cut may have grown the buffer; it is not kept beyond this size.
const KEPT_BYTES: usize = 4 << 20;

impl Buffer {
    pub(super) fn clear(&mut self) {
        self.filled = 0;
        if self.bytes.len() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Room for the bytes from the filled ones on up to `end`.
    pub(super) fn space(&mut self, end: usize) -> &mut [u8] {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled.min(end)..end]
    }

    /// `count` more bytes of the space have been written.
    pub(super) fn advance(&mut self, count: usize) {
        self.filled = self.bytes.len().min(self.filled + count);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        self.space(end).copy_from_slice(bytes);
        self.filled = end;
    }
}
