//! GPT-2's two files, `vocab.json` and `merges.txt`, read in one go.
//!
//! A quick reader of what is as it should be: anything else is `None`, and is left to the slower
//! reader in Python, which tells what is wrong. It never reads what that one would refuse.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hashbrown::HashSet;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::spelling::unspell_into;

/// What the files hold.
#[derive(Debug, Default)]
pub(crate) struct Gpt2Files {
    /// Of all tokens, one after the other.
    bytes: Vec<u8>,
    tokens: Vec<(u32, Range<usize>)>,
    merges: Vec<[Range<usize>; 2]>,
}

impl Gpt2Files {
    /// Those of `special_tokens` that the vocabulary holds are written as they are.
    pub(crate) fn read(vocab: &[u8], merges: &[u8], special_tokens: &[&str]) -> Option<Self> {
        let mut files = Self::default();
        let vocab = simdutf8::basic::from_utf8(vocab).ok()?;
        let mut reader = serde_json::Deserializer::from_str(vocab);
        let entries = Entries {
            files: &mut files,
            special_tokens: &special_tokens.iter().copied().collect(),
        };
        reader.deserialize_map(entries).ok()?;
        reader.end().ok()?;
        let ids: HashSet<u32> = files.tokens.iter().map(|token| token.0).collect();
        if ids.len() < files.tokens.len() {
            return None;
        }
        files.read_merges(simdutf8::basic::from_utf8(merges).ok()?)?;
        Some(files)
    }

    fn read_merges(&mut self, text: &str) -> Option<()> {
        let lines = match text.starts_with("#version") {
            true => text.split_once('\n').map_or("", |(_, lines)| lines),
            false => text,
        };
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let (left, right) = line.split_once(' ')?;
            if left.is_empty() || right.is_empty() {
                return None;
            }
            let merge = [self.push_spelled(left)?, self.push_spelled(right)?];
            self.merges.push(merge);
        }
        Some(())
    }

    /// Keeps a token that is spelled, and says where it lies.
    fn push_spelled(&mut self, spelling: &str) -> Option<Range<usize>> {
        let start = self.bytes.len();
        unspell_into(spelling, &mut self.bytes).ok()?;
        Some(start..self.bytes.len())
    }

    /// Ids and bytes, in the order of the file.
    pub(crate) fn tokens(&self) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        let token = |(id, span): &(u32, Range<usize>)| (*id, &self.bytes[span.clone()]);
        self.tokens.iter().map(token)
    }

    /// Left and right, in the order of the file.
    pub(crate) fn merges(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let part = |span: &Range<usize>| &self.bytes[span.clone()];
        self.merges
            .iter()
            .map(move |[left, right]| (part(left), part(right)))
    }

    /// Adds tokens from the highest id + 1 on; `None` where there is no higher one.
    pub(crate) fn append(&mut self, token: &[u8]) -> Option<u32> {
        let highest = self.tokens.iter().map(|token| token.0).max();
        let id = highest.map_or(Some(0), |id| id.checked_add(1))?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(token);
        self.tokens.push((id, start..self.bytes.len()));
        Some(id)
    }
}

/// Takes the entries of `vocab.json`.
struct Entries<'f> {
    files: &'f mut Gpt2Files,
    special_tokens: &'f HashSet<&'f str>,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ids by token")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error;
        while let Some((Spelling(spelling), id)) = map.next_entry::<_, u32>()? {
            let span = if self.special_tokens.contains(&*spelling) {
                let start = self.files.bytes.len();
                self.files.bytes.extend_from_slice(spelling.as_bytes());
                Some(start..self.files.bytes.len())
            } else {
                self.files.push_spelled(&spelling)
            };
            let span = span.ok_or_else(|| A::Error::custom("a spelling that is none"))?;
            self.files.tokens.push((id, span));
        }
        Ok(())
    }
}

/// A key, lent from the text where it holds no escapes.
struct Spelling<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Spelling<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lent;
        impl<'de> Visitor<'de> for Lent {
            type Value = Cow<'de, str>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a token")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Lent).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGES: &str = "#version: 0.2\nĠ a\r\n\nĠa b\n";

    #[test]
    fn both_files_are_read_in_their_order() {
        let vocab = r#" {"Ġa": 7, "<|é|>": 4294967294, "\u0120ab" : 0} "#;
        let files = Gpt2Files::read(vocab.as_bytes(), MERGES.as_bytes(), &["<|é|>"]);
        let mut files = files.unwrap();
        assert_eq!(files.append(b"x"), Some(u32::MAX));
        assert_eq!(files.append(b"y"), None);
        let special = "<|é|>".as_bytes();
        let tokens = [
            (7, &b" a"[..]),
            (u32::MAX - 1, special),
            (0, b" ab"),
            (u32::MAX, b"x"),
        ];
        assert!(files.tokens().eq(tokens));
        assert!(files.merges().eq([(&b" "[..], &b"a"[..]), (b" a", b"b")]));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_left_to_others() {
        let vocabs = [
            "",
            "[]",
            "{",
            "{} x",
            "{\"a\": 1, \"b\": 1}",
            "{\"a\": true}",
            "{\"a\": -1}",
            "{\"a\": 1.0}",
            "{\"a\": 4294967296}",
            "{\"a\": null}",
            "{\"a b\": 1}",
            "{\"王\": 1}",
            "{\"\\ud800\": 1}",
            "\u{feff}{}",
        ];
        for vocab in vocabs {
            assert!(
                Gpt2Files::read(vocab.as_bytes(), b"", &[]).is_none(),
                "{vocab}"
            );
        }
        assert!(Gpt2Files::read(b"{\"\xff\": 1}", b"", &[]).is_none());
        for merges in ["a", "a b c", " a", "a ", "a  b", "王 a", "#version a b"] {
            let read = Gpt2Files::read(b"{}", merges.as_bytes(), &[]);
            let lines = read.map(|files| files.merges().len());
            assert_eq!(lines, merges.starts_with('#').then_some(0), "{merges}");
        }
        assert!(Gpt2Files::read(b"{}", b"\xff", &[]).is_none());
    }
}
