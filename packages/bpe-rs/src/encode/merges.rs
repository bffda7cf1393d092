//! A vocabulary's merges by token ids, checked.

use hashbrown::HashMap;

use super::pairs::{Merged, NONE, PairTable};
use super::perfect::{NO_RANK, PairRanks};
use crate::error::EncoderError;

/// The tokens of single bytes, and what pairs of tokens merge into.
#[derive(Debug)]
pub(crate) struct Merges {
    byte_ids: [u32; 256],
    /// Ranks for each pair of bytes, `left << 8 | right`: merging begins with these, and those that text
    /// is made of stay in the nearest cache.
    byte_pairs: Vec<u32>,
    /// Ids of merged tokens by rank.
    ids: Vec<u32>,
    pairs: PairTable,
    /// The same once more, for merging many pretokens at a time.
    ranks: Option<PairRanks>,
}

/// Ids by bytes.
pub(super) type Ids = HashMap<Vec<u8>, u32>;

impl Merges {
    /// `merges` in the order of their ranks.
    ///
    /// # Errors
    ///
    /// [`EncoderError::MissingByte`], [`EncoderError::UnknownMergeToken`],
    /// [`EncoderError::DuplicateMerge`], [`EncoderError::TooManyMerges`].
    pub(super) fn new<L: AsRef<[u8]>, R: AsRef<[u8]>>(
        merges: &[(L, R)],
        ids: &Ids,
    ) -> Result<Self, EncoderError> {
        let count = merges.len();
        let last = u32::try_from(count).map_err(|_| EncoderError::TooManyMerges { count })?;
        let mut table = Self::with_capacity(count, ids)?;
        let mut both = Vec::new();
        for (rank, (left, right)) in (0..last).zip(merges) {
            let (left, right) = (left.as_ref(), right.as_ref());
            let index = rank as usize;
            let id_of = |bytes: &[u8]| {
                ids.get(bytes)
                    .copied()
                    .ok_or_else(|| EncoderError::UnknownMergeToken {
                        rank: index,
                        left: left.to_vec(),
                        right: right.to_vec(),
                        missing: bytes.to_vec(),
                    })
            };
            let (left_id, right_id) = (id_of(left)?, id_of(right)?);
            both.clear();
            both.extend_from_slice(left);
            both.extend_from_slice(right);
            let merged = Merged::new(rank, id_of(&both)?);
            table
                .insert(left_id, right_id, &both, merged)
                .map_err(|first| EncoderError::DuplicateMerge {
                    rank: index,
                    first: first.rank(),
                    left: left.to_vec(),
                    right: right.to_vec(),
                })?;
        }
        table.ranks = PairRanks::new(table.pairs.iter());
        Ok(table)
    }

    /// No merges yet, and room for so many, fewer than 2^32, with ranks lower than that.
    ///
    /// # Errors
    ///
    /// [`EncoderError::MissingByte`].
    pub(super) fn with_capacity(capacity: usize, ids: &Ids) -> Result<Self, EncoderError> {
        Ok(Self {
            byte_ids: byte_ids(ids)?,
            byte_pairs: vec![NO_RANK; 1 << 16],
            ids: vec![0; capacity],
            pairs: PairTable::with_capacity(capacity),
            ranks: None,
        })
    }

    /// Adds the merge of `left` and `right`, whose bytes together are `both`, unless there is one of
    /// that pair: then returns it. Needs room for one.
    pub(super) fn insert(
        &mut self,
        left: u32,
        right: u32,
        both: &[u8],
        merged: Merged,
    ) -> Result<(), Merged> {
        self.pairs.insert(left, right, merged)?;
        if let Ok(bytes) = both.try_into() {
            self.byte_pairs[usize::from(u16::from_be_bytes(bytes))] = merged.rank();
        }
        self.ids[merged.rank() as usize] = merged.token_id();
        Ok(())
    }

    /// How many merges there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    #[inline(always)]
    pub(super) fn of_byte(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }

    /// What two bytes merge into.
    #[inline(always)]
    pub(super) fn of_bytes(&self, left: u8, right: u8) -> Merged {
        match self.rank_of_bytes(left, right) {
            NO_RANK => NONE,
            rank => Merged::new(rank, self.of_rank(rank)),
        }
    }

    /// The rank of the merge of two bytes, or [`NO_RANK`].
    #[inline(always)]
    pub(super) fn rank_of_bytes(&self, left: u8, right: u8) -> u32 {
        let both = u16::from_be_bytes([left, right]);
        let rank = self.byte_pairs.get(usize::from(both));
        rank.copied().unwrap_or(NO_RANK)
    }

    /// The token that the merge of this rank makes.
    #[inline(always)]
    pub(super) fn of_rank(&self, rank: u32) -> u32 {
        self.ids[rank as usize]
    }

    /// Ranks by pairs, if there are such: not for more than two million merges.
    pub(super) fn pair_ranks(&self) -> Option<&PairRanks> {
        self.ranks.as_ref()
    }

    /// What two tokens merge into.
    #[inline(always)]
    pub(super) fn of_pair(&self, left: u32, right: u32) -> Merged {
        self.pairs.get(left, right)
    }
}

/// # Errors
///
/// [`EncoderError::DuplicateToken`].
pub(super) fn ids_by_bytes(
    vocab: impl IntoIterator<Item = (u32, Vec<u8>)>,
) -> Result<Ids, EncoderError> {
    let vocab = vocab.into_iter();
    let mut ids = Ids::with_capacity(vocab.size_hint().0);
    for (second, bytes) in vocab {
        if let Some(&first) = ids.get(&bytes) {
            return Err(EncoderError::DuplicateToken {
                bytes,
                first,
                second,
            });
        }
        ids.insert(bytes, second);
    }
    Ok(ids)
}

fn byte_ids(ids: &Ids) -> Result<[u32; 256], EncoderError> {
    let mut byte_ids = [0; 256];
    for (byte, byte_id) in (0..=u8::MAX).zip(&mut byte_ids) {
        let id = ids.get([byte].as_slice());
        *byte_id = *id.ok_or(EncoderError::MissingByte { byte })?;
    }
    Ok(byte_ids)
}
