//! Text to token ids over a vocabulary and its merges.
//!
//! | step | file |
//! | --- | --- |
//! | a vocabulary and merges, checked, to tables | `merges.rs`, `pairs.rs`, `perfect.rs` |
//! | pretokens to ids, if they are known | `cache.rs` |
//! | new pretokens to ids, many at a time; a long one in windows | `together.rs`, `word.rs`, `long.rs` |
//! | many texts, or a large one, on several threads | `parallel.rs` |
//! | a text in parts | `stream.rs` |
//! | tokens that are merged by rank, to merges | `ranks.rs` |
//! | a text with merges left out at random | `dropout.rs` |
//! | files, on several threads, their ids in order | `files.rs`, `in_order.rs` |

mod cache;
mod dropout;
mod files;
#[cfg(test)]
mod files_tests;
mod in_order;
mod long;
mod merges;
mod pairs;
mod parallel;
mod perfect;
mod ranks;
#[cfg(test)]
mod samples;
mod stream;
#[cfg(test)]
mod tests;
mod together;
mod token_id;
mod word;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::error::{EncoderError, PatternError, SpecialTokenError};
use crate::pattern::Pattern;
use crate::special::{Segment, SpecialTokens};
use crate::table::advise_huge_pages;

pub(crate) use cache::TokenCache;
pub use dropout::Dropout;
pub use files::{EncodedBlock, FilesEncoder, TokenIds};
use merges::{Merges, ids_by_bytes};
pub use ranks::last_merges;
pub use stream::EncodeStream;
pub(crate) use token_id::TokenId;

/// Memory for the ids of pretokens, for each thread.
const CACHE_BYTES: usize = 64 << 20;

/// Encodes text with a byte-level BPE vocabulary.
///
/// A pretoken starts as its bytes and is merged: of the pairs of adjacent tokens that some merge
/// joins, the one of the lowest rank, the leftmost of several, until there is none. A vocabulary
/// entry that no such sequence of merges produces is never produced.
pub struct BpeEncoder {
    merges: Merges,
    special: SpecialIds,
    pattern: Pattern,
    /// Bytes of each token.
    lengths: HashMap<u32, usize>,
    max_token_id: u32,
    cache_bytes: usize,
    /// A call takes one out and puts it back: calls at the same moment share no lock for long, and
    /// the next call finds what the last one learned.
    caches: Mutex<Vec<TokenCache>>,
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
            .field("pattern", &self.pattern.as_str())
            .finish_non_exhaustive()
    }
}

impl BpeEncoder {
    /// An encoder over `vocab` (any ids, in any order) and `merges` in the order of their ranks,
    /// for text that GPT-2's pattern cuts.
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
        let special_ids = special_tokens.iter().map(|(_, id)| *id);
        Ok(Self {
            merges: Merges::new(merges, &ids)?,
            special: SpecialIds::new(special_tokens)?,
            max_token_id: ids.values().copied().chain(special_ids).max().unwrap_or(0),
            pattern: Pattern::default(),
            lengths: ids.iter().map(|(bytes, &id)| (id, bytes.len())).collect(),
            cache_bytes: CACHE_BYTES,
            caches: Mutex::default(),
        })
    }

    /// The same encoder for text that another pattern cuts.
    #[must_use]
    pub fn pattern(self, pattern: Pattern) -> Self {
        Self { pattern, ..self }
    }

    /// How much memory each thread may use to remember the ids of pretokens: 64 MiB if not said.
    /// With less, more of them are merged again and again.
    #[must_use]
    pub fn cache_bytes(self, cache_bytes: usize) -> Self {
        Self {
            cache_bytes,
            caches: Mutex::default(),
            ..self
        }
    }

    /// Encodes a text, recognising all special tokens.
    ///
    /// # Errors
    ///
    /// [`PatternError::Search`] where the regex engine gives up. The known patterns need none.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PatternError> {
        self.encode_with(text, &self.special)
    }

    /// Encodes a text, recognising only the special tokens chosen by [`BpeEncoder::special`].
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`].
    pub fn encode_with(&self, text: &str, special: &SpecialIds) -> Result<Vec<u32>, PatternError> {
        let mut token_ids = ids_of(text.len());
        self.with_cache(|cache| self.encode_into(text, special, cache, &mut token_ids))?;
        token_ids.shrink_to_fit();
        Ok(token_ids)
    }

    /// The number of tokens in a text, without holding them all.
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`].
    pub fn count_with(&self, text: &str, special: &SpecialIds) -> Result<usize, PatternError> {
        let (mut token_ids, mut count) = (Vec::<u32>::new(), 0);
        self.with_cache(|cache| {
            self.encode_each(text, special, cache, &mut token_ids, |token_ids, _| {
                count += token_ids.len();
                token_ids.clear();
            })
        })?;
        Ok(count)
    }

    /// Token ids, and for each the byte of the text where the token ends; the next one begins there.
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`].
    pub fn encode_with_offsets(
        &self,
        text: &str,
        special: &SpecialIds,
    ) -> Result<(Vec<u32>, Vec<usize>), PatternError> {
        let (mut token_ids, mut ends, mut last) = (Vec::new(), Vec::new(), 0);
        self.with_cache(|cache| {
            self.encode_each(text, special, cache, &mut token_ids, |token_ids, end| {
                // The last one ends at `end`, even if it is a special token, which has no length.
                let inner = token_ids.len().saturating_sub(1).max(ends.len());
                for token_id in &token_ids[ends.len()..inner] {
                    last += self.lengths.get(token_id).copied().unwrap_or(0);
                    ends.push(last);
                }
                ends.push(end);
                last = end;
            })
        })?;
        Ok((token_ids, ends))
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

    /// The highest id, be it that of a token or of a special one.
    pub(crate) fn max_token_id(&self) -> u32 {
        self.max_token_id
    }

    /// All the encoder's special tokens.
    pub fn all_special(&self) -> &SpecialIds {
        &self.special
    }

    /// Appends the ids of a text.
    pub(crate) fn encode_into<T: TokenId>(
        &self,
        text: &str,
        special: &SpecialIds,
        cache: &mut TokenCache,
        token_ids: &mut Vec<T>,
    ) -> Result<(), PatternError> {
        self.encode_each(text, special, cache, token_ids, |_, _| ())
    }

    /// Appends the ids of a text, some at a time: `then(token_ids, end)` is called when there are
    /// those of the text before byte `end`, at least one more than before.
    fn encode_each<T: TokenId>(
        &self,
        text: &str,
        special: &SpecialIds,
        cache: &mut TokenCache,
        token_ids: &mut Vec<T>,
        mut then: impl FnMut(&mut Vec<T>, usize),
    ) -> Result<(), PatternError> {
        let mut at = 0;
        for segment in special.finder.split(text) {
            match segment {
                Segment::Special(index) => {
                    token_ids.push(T::new(special.ids[index]));
                    at += special.finder.tokens()[index].len();
                    then(token_ids, at);
                }
                Segment::Text(text) => {
                    self.encode_plain(text, cache, token_ids, |token_ids, end| {
                        then(token_ids, at + end);
                    })?;
                    at += text.len();
                }
            }
        }
        Ok(())
    }

    /// The same for a text in which no special tokens are looked for.
    fn encode_plain<T: TokenId>(
        &self,
        text: &str,
        cache: &mut TokenCache,
        token_ids: &mut Vec<T>,
        mut then: impl FnMut(&mut Vec<T>, usize),
    ) -> Result<(), PatternError> {
        self.pattern.ends(text, &mut |start, ends: &[usize]| {
            cache.encode_batch(&self.merges, text.as_bytes(), start, ends, token_ids);
            then(token_ids, ends.last().copied().unwrap_or(start));
            Ok(())
        })
    }

    /// Calls with a cache of this encoder's; whoever calls at the same time gets another one.
    fn with_cache<T>(&self, call: impl FnOnce(&mut TokenCache) -> T) -> T {
        let known = self.lock_caches().pop();
        let mut cache = known.unwrap_or_else(|| TokenCache::new(self.cache_bytes));
        let value = call(&mut cache);
        self.lock_caches().push(cache);
        value
    }

    fn lock_caches(&self) -> MutexGuard<'_, Vec<TokenCache>> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for the ids of a text of so many bytes: half as many are more than of any natural text, and
/// what is not written to takes no memory.
fn ids_of<T>(bytes: usize) -> Vec<T> {
    let mut token_ids = Vec::new();
    // Else it grows as it goes.
    if token_ids.try_reserve_exact(bytes / 2).is_ok() {
        advise_huge_pages(token_ids.spare_capacity_mut());
    }
    token_ids
}
