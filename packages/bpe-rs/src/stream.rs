//! A text that comes in parts to the ids of the whole.

use std::sync::Arc;

use crate::cache::PretokenCache;
use crate::encode::BpeEncoder;
use crate::pretokenize::pretokenize;

/// About 0.5 MB: a stream promises to need little memory, whatever passes through it.
const CACHE_ENTRIES: usize = 7 << 11;

/// A held tail of more bytes is looked at again only when it has doubled: else a long pretoken fed
/// in small parts would be scanned from its start for each of them.
const RESCAN_BYTES: usize = 4096;

/// Encodes a text fed in parts: however it is split, the ids together are those of the whole text.
///
/// It holds back what later parts could still change: the last pretoken or two, and what may be
/// the beginning of a special token.
#[derive(Debug)]
pub struct EncodeStream {
    encoder: Arc<BpeEncoder>,
    cache: PretokenCache,
    /// The text held back.
    held: String,
    /// Bytes to hold before looking at them again.
    rescan_at: usize,
}

impl EncodeStream {
    /// A stream at the start of a text.
    pub fn new(encoder: Arc<BpeEncoder>) -> Self {
        let cache = PretokenCache::new(CACHE_ENTRIES);
        Self {
            encoder,
            cache,
            held: String::new(),
            rescan_at: 0,
        }
    }

    /// Takes the next part and gives the ids that are certain now.
    pub fn feed(&mut self, text: &str) -> Vec<u32> {
        self.held.push_str(text);
        let mut token_ids = Vec::new();
        if self.held.len() >= self.rescan_at {
            let end = self.encode_final(&mut token_ids);
            self.held.drain(..end);
            let is_long = self.held.len() > RESCAN_BYTES;
            self.rescan_at = if is_long { self.held.len() * 2 } else { 0 };
        }
        token_ids
    }

    /// Ends the text and gives the rest of its ids. The next [`EncodeStream::feed`] begins another.
    pub fn finish(&mut self) -> Vec<u32> {
        let mut token_ids = Vec::new();
        let (encoder, special) = (&self.encoder, self.encoder.all_special());
        encoder.encode_into(&self.held, special, &mut self.cache, &mut token_ids);
        self.held = String::new();
        self.rescan_at = 0;
        token_ids
    }

    /// Encodes what no later part can change. Returns its end.
    fn encode_final(&mut self, token_ids: &mut Vec<u32>) -> usize {
        let (encoder, special) = (&self.encoder, self.encoder.all_special());
        let (held, cache) = (self.held.as_str(), &mut self.cache);
        let mut at = 0;
        loop {
            let unfinished = special
                .finder
                .unfinished_from(held, at)
                .unwrap_or(held.len());
            match special.finder.find(held, at) {
                Some((index, start, end)) if start < unfinished => {
                    for pretoken in pretokenize(&held[at..start]) {
                        encoder.encode_pretoken(pretoken, cache, token_ids);
                    }
                    token_ids.push(special.ids[index]);
                    at = end;
                }
                _ => {
                    let mut pretokens = pretokenize(&held[at..unfinished]);
                    while let Some(pretoken) = pretokens.next_final() {
                        encoder.encode_pretoken(pretoken, cache, token_ids);
                        at += pretoken.len();
                    }
                    return at;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each could be the beginning, the end or the middle of another.
    const SPECIAL: [&str; 6] = ["<|a|>", "<|a|><|a|>", "|a|>", "a", " é", "é\u{3000}<"];

    fn stream() -> EncodeStream {
        let vocab = (0..).zip((0..=u8::MAX).map(|byte| vec![byte]).chain([b"bb".to_vec()]));
        let special: Vec<_> = SPECIAL.map(str::to_owned).into_iter().zip(1000..).collect();
        let encoder = BpeEncoder::new(vocab, &[(b"b", b"b")], &special).unwrap();
        EncodeStream::new(Arc::new(encoder))
    }

    proptest! {
        #[test]
        fn any_split_of_a_text_gives_the_ids_of_the_whole(
            parts in prop::collection::vec("[<|a>bé' \n\u{3000}l]{0,5}", 0..12)
        ) {
            let mut stream = stream();
            let whole = stream.encoder.encode(&parts.concat());
            for _ in 0..2 {
                let mut token_ids: Vec<u32> =
                    parts.iter().flat_map(|part| stream.feed(part)).collect();
                token_ids.extend(stream.finish());
                prop_assert_eq!(&token_ids, &whole);
            }
        }
    }

    #[test]
    fn only_what_may_still_change_is_held_back() {
        let mut stream = stream();
        stream.feed(&"b b\n".repeat(10_000));
        assert!(stream.held.len() <= 4, "{:?}", stream.held);
        stream.feed("<|a|");
        assert!(stream.held.ends_with("<|a|"));
    }
}
