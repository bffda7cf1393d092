//! Text to token ids over a vocabulary and its merges.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::cache::PretokenCache;
use crate::error::{EncoderError, SpecialTokenError};
use crate::pretokenize::pretokenize;
use crate::special::{Segment, SpecialTokens};
use crate::word::{MergeTable, Merged, merge_word};

/// At some 40 bytes each, a cache stays below about 20 MB.
const CACHE_ENTRIES: usize = 7 << 16;

/// Encodes text with a byte-level BPE vocabulary.
///
/// A pretoken starts as its bytes and is merged: of the pairs of adjacent tokens that some merge
/// joins, the one of the lowest rank, the leftmost of several, until there is none. A vocabulary
/// entry that no such sequence of merges produces is never produced.
pub struct BpeEncoder {
    byte_ids: [u32; 256],
    merges: MergeTable,
    special: SpecialIds,
    /// A call takes one out and puts it back: calls at the same moment share no lock for long, and
    /// the next call finds what the last one learned.
    caches: Mutex<Vec<PretokenCache>>,
}

/// The special tokens to recognise in a text, with their ids.
#[derive(Clone, Debug)]
pub struct SpecialIds {
    pub(crate) finder: SpecialTokens,
    pub(crate) ids: Vec<u32>,
}

impl SpecialIds {
    fn new(tokens: &[(String, u32)]) -> Result<Self, SpecialTokenError> {
        let (names, ids): (Vec<&str>, Vec<u32>) = tokens
            .iter()
            .map(|(token, id)| (token.as_str(), *id))
            .unzip();
        Ok(Self {
            finder: SpecialTokens::new(&names)?,
            ids,
        })
    }
}

impl fmt::Debug for BpeEncoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BpeEncoder")
            .field("merges", &self.merges.len())
            .field("special_tokens", &self.special.ids.len())
            .finish_non_exhaustive()
    }
}

impl BpeEncoder {
    /// An encoder over `vocab` (any ids, in any order) and `merges` in the order of their ranks.
    ///
    /// # Errors
    ///
    /// [`EncoderError::MissingByte`], [`EncoderError::DuplicateToken`],
    /// [`EncoderError::UnknownMergeToken`], [`EncoderError::DuplicateMerge`],
    /// [`EncoderError::TooManyMerges`], [`EncoderError::SpecialTokens`], as they say.
    pub fn new<V, L, R>(
        vocab: V,
        merges: &[(L, R)],
        special_tokens: &[(String, u32)],
    ) -> Result<Self, EncoderError>
    where
        V: IntoIterator<Item = (u32, Vec<u8>)>,
        L: AsRef<[u8]>,
        R: AsRef<[u8]>,
    {
        let ids = ids_by_bytes(vocab)?;
        Ok(Self {
            byte_ids: byte_ids(&ids)?,
            merges: merge_table(merges, &ids)?,
            special: SpecialIds::new(special_tokens)?,
            caches: Mutex::default(),
        })
    }

    /// Encodes a text, recognising all special tokens.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_with(text, &self.special)
    }

    /// Encodes a text, recognising only the special tokens chosen by [`BpeEncoder::special`].
    pub fn encode_with(&self, text: &str, special: &SpecialIds) -> Vec<u32> {
        let mut cache = self
            .lock_caches()
            .pop()
            .unwrap_or(PretokenCache::new(CACHE_ENTRIES));
        let mut token_ids = Vec::new();
        self.encode_into(text, special, &mut cache, &mut token_ids);
        self.lock_caches().push(cache);
        token_ids
    }

    /// Those of the encoder's special tokens that `chosen` names.
    ///
    /// # Errors
    ///
    /// [`SpecialTokenError::Unknown`] for a name that is none of them.
    pub fn special<S: AsRef<str>>(&self, chosen: &[S]) -> Result<SpecialIds, SpecialTokenError> {
        let known = self.special.finder.tokens();
        let find = |token: &S| match known.iter().position(|known| known == token.as_ref()) {
            Some(at) => Ok((known[at].clone(), self.special.ids[at])),
            None => {
                let token = token.as_ref().to_owned();
                Err(SpecialTokenError::Unknown {
                    token,
                    known: known.len(),
                })
            }
        };
        SpecialIds::new(&chosen.iter().map(find).collect::<Result<Vec<_>, _>>()?)
    }

    pub(crate) fn all_special(&self) -> &SpecialIds {
        &self.special
    }

    pub(crate) fn encode_into(
        &self,
        text: &str,
        special: &SpecialIds,
        cache: &mut PretokenCache,
        token_ids: &mut Vec<u32>,
    ) {
        for segment in special.finder.split(text) {
            match segment {
                Segment::Special(index) => token_ids.push(special.ids[index]),
                Segment::Text(text) => pretokenize(text)
                    .for_each(|pretoken| self.encode_pretoken(pretoken, cache, token_ids)),
            }
        }
    }

    #[inline]
    pub(crate) fn encode_pretoken(
        &self,
        pretoken: &str,
        cache: &mut PretokenCache,
        token_ids: &mut Vec<u32>,
    ) {
        let bytes = pretoken.as_bytes();
        if let Some(known) = cache.get(bytes) {
            token_ids.extend_from_slice(known);
            return;
        }
        let mut merged = bytes
            .iter()
            .map(|&byte| self.byte_ids[usize::from(byte)])
            .collect();
        merge_word(&mut merged, &self.merges);
        cache.insert(bytes, &merged);
        token_ids.append(&mut merged);
    }

    fn lock_caches(&self) -> std::sync::MutexGuard<'_, Vec<PretokenCache>> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Ids = HashMap<Vec<u8>, u32>;

fn ids_by_bytes(vocab: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<Ids, EncoderError> {
    let mut ids = Ids::new();
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

fn merge_table<L: AsRef<[u8]>, R: AsRef<[u8]>>(
    merges: &[(L, R)],
    ids: &Ids,
) -> Result<MergeTable, EncoderError> {
    let count = merges.len();
    let last = u32::try_from(count).map_err(|_| EncoderError::TooManyMerges { count })?;
    let mut table = MergeTable::with_capacity(count);
    for (rank, (left, right)) in (0..last).zip(merges) {
        let (left, right) = (left.as_ref(), right.as_ref());
        let (index, both) = (rank as usize, [left, right].concat());
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
        let pair = (id_of(left)?, id_of(right)?);
        let merged = Merged {
            rank,
            token_id: id_of(&both)?,
        };
        if let Some(Merged { rank: first, .. }) = table.insert(pair, merged) {
            let (left, right) = (left.to_vec(), right.to_vec());
            return Err(EncoderError::DuplicateMerge {
                rank: index,
                first,
                left,
                right,
            });
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    const SPECIAL: [&str; 3] = ["<|>", "<|><|>", "b\na"];

    /// An encoder whose merges are learned from `corpus`, with its merges.
    fn learned(corpus: &str) -> (BpeEncoder, Vec<naive::Merge>) {
        let merges = naive::merges(&[corpus], &SPECIAL, 20);
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let merged = merges
            .iter()
            .map(|(left, right)| [&left[..], right].concat());
        let special: Vec<_> = SPECIAL.map(str::to_owned).into_iter().zip(1000..).collect();
        let vocab = (0..).zip(bytes.chain(merged));
        (BpeEncoder::new(vocab, &merges, &special).unwrap(), merges)
    }

    proptest! {
        #[test]
        fn ids_are_those_of_the_definition(
            corpus in "[ab <|>'é\n]{0,60}", text in "[ab <|>'é\n]{0,60}"
        ) {
            let (encoder, merges) = learned(&corpus);
            let id = |token: Vec<u8>| match token.as_slice() {
                [byte] => u32::from(*byte),
                _ => 256 + merges.iter().position(|(l, r)| [&l[..], r].concat() == token).unwrap() as u32,
            };
            let mut theirs = Vec::new();
            for (piece, is_special) in naive::split(&text, &SPECIAL) {
                match SPECIAL.iter().position(|token| is_special && *token == piece) {
                    Some(index) => theirs.push(1000 + index as u32),
                    None => pretokenize(piece)
                        .for_each(|pretoken| theirs.extend(naive::tokens(pretoken, &merges).into_iter().map(id))),
                }
            }
            prop_assert_eq!(encoder.encode(&text), theirs.clone());
            prop_assert_eq!(encoder.encode(&text), theirs, "with the cache filled");
        }
    }

    #[test]
    fn only_chosen_special_tokens_are_recognised() {
        let (encoder, _) = learned("");
        let chosen = encoder.special(&["<|>"]).unwrap();
        assert_eq!(encoder.encode("<|><|>"), [1001]);
        assert_eq!(encoder.encode_with("<|><|>", &chosen), [1000, 1000]);
        let error = encoder.special(&["<|", "<|>"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"<|\" is not one of the encoder's 3 special tokens"
        );
    }
}
