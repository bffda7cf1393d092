//! Ids in slots, and on their way from there to the output.

use super::super::token_id::TokenId;
use super::AHEAD;

/// Ids that a slot has room for.
const INLINE: usize = 3;

/// Up to three ids and how many; or where more are: first, end, anything, `ELSEWHERE`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids([u32; INLINE + 1]);

const ELSEWHERE: u32 = u32::MAX;

impl Ids {
    /// How many ids are here, if they are.
    #[inline(always)]
    pub(super) fn inline(&self) -> Option<usize> {
        let count = self.0[INLINE] as usize;
        (count <= INLINE).then_some(count)
    }

    /// The ids, of which `elsewhere` has those that are not here.
    pub(super) fn all<'a>(&'a self, elsewhere: &'a [u32]) -> &'a [u32] {
        match self.inline() {
            Some(count) => &self.0[..count],
            None => &elsewhere[self.0[0] as usize..self.0[1] as usize],
        }
    }
}

/// What a slot is to say of ids; those that are too many for it go elsewhere.
pub(super) fn keep(elsewhere: &mut Vec<u32>, token_ids: &[u32]) -> Ids {
    let (mut ids, count) = (Ids::default(), token_ids.len());
    if count <= INLINE {
        ids.0[..count].copy_from_slice(token_ids);
        ids.0[INLINE] = count as u32;
    } else {
        let first = elsewhere.len() as u32;
        elsewhere.extend_from_slice(token_ids);
        ids.0 = [first, elsewhere.len() as u32, 0, ELSEWHERE];
    }
    ids
}

/// Ids on their way from slots to the output: all four numbers of a slot are copied, whatever its
/// count, and the next copy begins behind those that count.
pub(super) struct Known {
    token_ids: [u32; AHEAD * INLINE + 1],
    len: usize,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            token_ids: [0; AHEAD * INLINE + 1],
            len: 0,
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, ids: &Ids, count: usize) {
        if let Some(room) = self.token_ids[self.len..].first_chunk_mut() {
            *room = ids.0;
        }
        self.len += count;
    }

    #[inline(always)]
    pub(super) fn flush<T: TokenId>(&mut self, token_ids: &mut Vec<T>) {
        token_ids.extend(T::all(&self.token_ids[..self.len]));
        self.len = 0;
    }
}
