//! The types that ids are given in.

/// `u32`, or `u16` for a vocabulary whose ids it holds: half the memory, and no copy to convert it.
pub(crate) trait TokenId: Copy + Default + Send + Sync {
    /// The id, which must be one that this type holds.
    fn new(token_id: u32) -> Self;

    /// The same for many.
    #[inline(always)]
    fn all(token_ids: &[u32]) -> impl ExactSizeIterator<Item = Self> {
        token_ids.iter().map(|&token_id| Self::new(token_id))
    }
}

impl TokenId for u16 {
    #[inline(always)]
    fn new(token_id: u32) -> Self {
        debug_assert!(token_id <= Self::MAX.into());
        token_id as Self
    }
}

impl TokenId for u32 {
    #[inline(always)]
    fn new(token_id: u32) -> Self {
        token_id
    }
}
