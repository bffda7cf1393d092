//! A text that comes in parts to the ids of the whole.

use std::sync::Arc;

use super::{BpeEncoder, SpecialIds, TokenCache};
use crate::error::PatternError;

/// A stream promises to need little memory, whatever passes through it.
const CACHE_BYTES: usize = 1 << 20;

/// A held tail of more bytes is looked at again only when it has doubled: else a long pretoken fed
/// in small parts would be scanned from its start for each of them.
const RESCAN_BYTES: usize = 4096;

/// Encodes a text fed in parts: however it is split, the ids together are those of the whole text.
///
/// It holds back what later parts could still change: the last pretoken or two, and what may be
/// the beginning of a special token. Where a pattern that is left to the regex engine may be cut is
/// not known: then everything is held back, but for what special tokens end.
#[derive(Debug)]
pub struct EncodeStream {
    encoder: Arc<BpeEncoder>,
    special: SpecialIds,
    cache: TokenCache,
    /// The text held back.
    held: String,
    /// Bytes to hold before looking at them again.
    rescan_at: usize,
}

impl EncodeStream {
    /// A stream at the start of a text, in which the special tokens chosen by
    /// [`BpeEncoder::special`] are recognised.
    pub fn new(encoder: Arc<BpeEncoder>, special: SpecialIds) -> Self {
        Self {
            special,
            cache: TokenCache::new(CACHE_BYTES.min(encoder.cache_bytes)),
            encoder,
            held: String::new(),
            rescan_at: 0,
        }
    }

    /// Takes the next part and gives the ids that are certain now.
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`]. The part is held all the same: [`EncodeStream::finish`] finds
    /// the same error, and begins another text.
    pub fn feed(&mut self, text: &str) -> Result<Vec<u32>, PatternError> {
        self.held.push_str(text);
        let mut token_ids = Vec::new();
        if self.held.len() >= self.rescan_at {
            let end = self.encode_final(&mut token_ids)?;
            self.held.drain(..end);
            let is_long = self.held.len() > RESCAN_BYTES;
            self.rescan_at = if is_long { self.held.len() * 2 } else { 0 };
        }
        Ok(token_ids)
    }

    /// Ends the text and gives the rest of its ids. The next [`EncodeStream::feed`] begins another.
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`]; the text has ended then too.
    pub fn finish(&mut self) -> Result<Vec<u32>, PatternError> {
        let mut token_ids = Vec::new();
        let held = std::mem::take(&mut self.held);
        self.rescan_at = 0;
        let cache = &mut self.cache;
        self.encoder
            .encode_into(&held, &self.special, cache, &mut token_ids)?;
        Ok(token_ids)
    }

    /// Encodes what no later part can change. Returns its end.
    fn encode_final(&mut self, token_ids: &mut Vec<u32>) -> Result<usize, PatternError> {
        let (encoder, special) = (&self.encoder, &self.special);
        let (held, cache) = (self.held.as_str(), &mut self.cache);
        let mut at = 0;
        loop {
            let unfinished = special
                .finder
                .unfinished_from(held, at)
                .unwrap_or(held.len());
            match special.finder.find(held, at) {
                Some((index, start, end)) if start < unfinished => {
                    encoder.encode_plain(&held[at..start], cache, token_ids, |_, _| ())?;
                    token_ids.push(special.ids[index]);
                    at = end;
                }
                _ => {
                    let is_cut = |&place: &usize| encoder.pattern.is_cut(held, place);
                    let certain = (at + 1..=unfinished).rev().find(is_cut).unwrap_or(at);
                    encoder.encode_plain(&held[at..certain], cache, token_ids, |_, _| ())?;
                    return Ok(certain);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        CL100K_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, O200K_PATTERN, Pattern, QWEN2_PATTERN,
    };

    const PATTERNS: [&str; 6] = [
        GPT2_PATTERN,
        CL100K_PATTERN,
        LLAMA3_PATTERN,
        QWEN2_PATTERN,
        O200K_PATTERN,
        r"\w+|\s+",
    ];

    /// Each could be the beginning, the end or the middle of another.
    const SPECIAL: [&str; 6] = ["<|a|>", "<|a|><|a|>", "|a|>", "a", " é", "é\u{3000}<"];

    fn stream(pattern: &str) -> EncodeStream {
        let vocab = (0..).zip((0..=u8::MAX).map(|byte| vec![byte]).chain([b"bb".to_vec()]));
        let special: Vec<_> = SPECIAL.map(str::to_owned).into_iter().zip(1000..).collect();
        let encoder = BpeEncoder::new(vocab, &[(b"b", b"b")], &special).unwrap();
        let pattern = Pattern::new(pattern).unwrap();
        let special = encoder.all_special().clone();
        EncodeStream::new(Arc::new(encoder.pattern(pattern)), special)
    }

    proptest! {
        #[test]
        fn any_split_of_a_text_gives_the_ids_of_the_whole(
            parts in prop::collection::vec("[<|a>bé' \n\u{3000}l1]{0,5}", 0..12),
            pattern in prop::sample::select(&PATTERNS)
        ) {
            let mut stream = stream(pattern);
            let whole = stream.encoder.encode(&parts.concat()).unwrap();
            for _ in 0..2 {
                let mut token_ids: Vec<u32> =
                    parts.iter().flat_map(|part| stream.feed(part).unwrap()).collect();
                token_ids.extend(stream.finish().unwrap());
                prop_assert_eq!(&token_ids, &whole);
            }
        }
    }

    #[test]
    fn only_what_may_still_change_is_held_back() {
        let mut stream = stream(GPT2_PATTERN);
        stream.feed(&"b b\n".repeat(10_000)).unwrap();
        assert!(stream.held.len() <= 4, "{:?}", stream.held);
        stream.feed("<|a|").unwrap();
        assert!(stream.held.ends_with("<|a|"));
    }
}
